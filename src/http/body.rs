//! A request body on its way from the connection to whoever reads it.
//!
//! The connection's task fills an [`Intake`] only while somebody reads the [`RequestBody`] at its
//! other end, so a body costs no more memory than one read.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_lite::{AsyncBufRead, AsyncRead};

/// What the two ends of a body share.
#[derive(Debug, Default)]
struct Shared {
    content: Vec<u8>,
    ended: bool,
    failed: Option<io::ErrorKind>,
    /// The reader has found nothing, and waits.
    wanted: bool,
    reader: Option<Waker>,
    intake: Option<Waker>,
}

type Pipe = Arc<Mutex<Shared>>;

fn lock(pipe: &Pipe) -> MutexGuard<'_, Shared> {
    // A panic while the lock was held leaves plain data, which is still good.
    pipe.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The end that the connection's task fills.
#[derive(Debug)]
pub(super) struct Intake(Pipe);

/// The end that a handler reads, inside an `http_types::Body`.
#[derive(Debug)]
pub(super) struct RequestBody {
    pipe: Pipe,
    content: Vec<u8>,
    at: usize,
}

pub(super) fn pipe() -> (Intake, RequestBody) {
    let pipe = Pipe::default();
    (Intake(pipe.clone()), RequestBody { pipe, content: Vec::new(), at: 0 })
}

impl Intake {
    /// Whether the reader waits for content. If not, the task of `cx` is woken when it does.
    pub(super) fn is_wanted(&self, cx: &Context<'_>) -> bool {
        let mut shared = lock(&self.0);
        shared.intake = Some(cx.waker().clone());
        shared.wanted
    }

    /// Whether nobody can read the body any more.
    pub(super) fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Hands content over, and the end with it if this was the last.
    pub(super) fn push(&self, content: Vec<u8>, ended: bool, cx: &Context<'_>) {
        let mut shared = lock(&self.0);
        match shared.content.is_empty() {
            true => shared.content = content,
            false => shared.content.extend_from_slice(&content),
        }
        shared.ended = ended;
        Self::tell(&mut shared, cx);
    }

    /// Lets the reader's next read fail.
    pub(super) fn fail(&self, kind: io::ErrorKind, cx: &Context<'_>) {
        let mut shared = lock(&self.0);
        shared.failed = Some(kind);
        Self::tell(&mut shared, cx);
    }

    fn tell(shared: &mut Shared, cx: &Context<'_>) {
        shared.wanted = false;
        match shared.reader.take() {
            // The reader is usually polled by this very task, right after this.
            Some(waker) if !waker.will_wake(cx.waker()) => waker.wake(),
            _ => {}
        }
    }
}

impl Drop for Intake {
    /// A reader that outlives its request hears that there will be no more.
    fn drop(&mut self) {
        let mut shared = lock(&self.0);
        if !shared.ended {
            shared.failed.get_or_insert(io::ErrorKind::UnexpectedEof);
        }
        if let Some(waker) = shared.reader.take() {
            waker.wake();
        }
    }
}

impl AsyncBufRead for RequestBody {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.at == this.content.len() {
            let mut shared = lock(&this.pipe);
            if !shared.content.is_empty() {
                this.content = std::mem::take(&mut shared.content);
            } else if let Some(kind) = shared.failed {
                return Poll::Ready(Err(io::Error::new(
                    kind,
                    "the request body did not arrive whole",
                )));
            } else if shared.ended {
                this.content.clear();
            } else {
                shared.wanted = true;
                shared.reader = Some(cx.waker().clone());
                if let Some(intake) = shared.intake.take() {
                    if !intake.will_wake(cx.waker()) {
                        intake.wake();
                    }
                }
                return Poll::Pending;
            }
            this.at = 0;
        }
        Poll::Ready(Ok(&this.content[this.at..]))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        self.get_mut().at += amount;
    }
}

impl AsyncRead for RequestBody {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let content = std::task::ready!(self.as_mut().poll_fill_buf(cx))?;
        let amount = content.len().min(buf.len());
        buf[..amount].copy_from_slice(&content[..amount]);
        self.consume(amount);
        Poll::Ready(Ok(amount))
    }
}
