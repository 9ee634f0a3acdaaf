//! The stream as an engine reads and writes it, beginning with the bytes that were read already.
//!
//! An engine has the [`Io`]; who drives the conversation has the [`Wire`] to it, and learns there what
//! was read and written, and whether the client takes nothing. The two share the stream through a lock,
//! because hyper may hand an upgraded stream to another thread; nobody ever waits for it.

mod wire;

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use ::hyper::rt::{Read, ReadBufCursor, Write};
use async_channel::{Receiver, Sender};

use super::opening::Opening;
use super::portions::Next;
use crate::net::Stream;
use crate::register::ClientEnd;
use crate::web::Probe;

/// How much is read at once, in bytes.
const READ: usize = 16 * 1024;

thread_local! {
    /// Every read goes through here, and only what has really arrived is copied on: an engine's own
    /// buffer would have to be zeroed first, all of it, for each read.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// An engine's end of the stream.
pub(super) struct Io<S> {
    shared: Arc<Mutex<Shared<S>>>,
    _open: Sender<Infallible>,
}

/// The other end: what can be seen of an [`Io`] from outside.
pub(super) struct Wire<S> {
    shared: Arc<Mutex<Shared<S>>>,
    open: Receiver<Infallible>,
}

struct Shared<S> {
    stream: S,
    /// What was read before the engine asked for it.
    early: Vec<u8>,
    next: Next,
    /// Asks a client that has closed its side whether it is gone.
    probe: Option<Box<Probe>>,
    /// How much may be read before the other tasks get a turn: an engine reads on for as long as
    /// something comes.
    turn: usize,
    /// Whether the last read was full, so that there may be more.
    more: bool,
    /// Whether the next read looks at the socket, even if nobody has said that something is there.
    look: bool,
    /// Whether the stream is reset if it is closed now.
    resets: bool,
    news: News,
}

/// What has become of a stream.
#[derive(Clone, Copy, Default)]
pub(super) struct News {
    /// Bytes read since this was last [asked](Wire::news).
    pub(super) received: usize,
    /// Bytes written since this was last asked.
    pub(super) sent: usize,
    /// Whether the engine was given bytes since [`Wire::forget`].
    pub(super) has_received: bool,
    /// How often something was written.
    pub(super) writes: u64,
    /// Whether the client takes nothing of what is to be written.
    pub(super) is_blocked: bool,
    /// How often all that there was to write was written.
    pub(super) flushes: u64,
    /// Whether the engine has written the last that it had to write.
    pub(super) is_closing: bool,
    /// What is known of the client's end.
    pub(super) client: ClientEnd,
}

/// Makes the two ends of a stream.
pub(super) fn io<S: Stream>(stream: S, opening: Opening) -> (Io<S>, Wire<S>) {
    let next = if opening.is_http2() { Next::Any } else { Next::Head };
    let early = opening.0;
    // They were counted when they were read.
    let news = News { has_received: true, ..News::default() };
    let shared = Arc::new(Mutex::new(Shared {
        stream,
        early,
        next,
        probe: None,
        turn: 0,
        more: false,
        look: false,
        resets: false,
        news,
    }));
    let (sender, open) = async_channel::bounded(1);
    (Io { shared: shared.clone(), _open: sender }, Wire { shared, open })
}

fn lock<S>(shared: &Mutex<Shared<S>>) -> MutexGuard<'_, Shared<S>> {
    // Whoever panicked with the lock was a stream; its bytes are as they were.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Stream> Shared<S> {
    /// Reads at most so many bytes into `scratch`.
    fn poll_fill(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, scratch));
        match read {
            Ok(0) => self.news.client = ClientEnd::Closed,
            Ok(amount) => self.news.received += amount,
            Err(_) => self.news.client = ClientEnd::Gone,
        }
        Poll::Ready(read)
    }

    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.news.client != ClientEnd::Open || self.early.len() >= READ {
            return Poll::Pending;
        }
        if ready!(self.stream.poll_readable(cx)).is_err() {
            self.news.client = ClientEnd::Gone;
            return Poll::Ready(());
        }
        self.poll_early(cx)
    }

    /// Reads once, though the engine has not asked for it, and though nobody has said that something is there.
    fn poll_early(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        SCRATCH.with_borrow_mut(|scratch| {
            let amount = ready!(self.poll_fill(cx, scratch)).unwrap_or(0);
            self.early.extend_from_slice(&scratch[..amount]);
            Poll::Ready(())
        })
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Some(probe) = &mut self.probe {
            ready!(probe.poll_ask(&mut self.stream, cx))?;
        }
        let written = write(Pin::new(&mut self.stream), cx);
        self.news.is_blocked = written.is_pending();
        self.news.writes += u64::from(written.is_ready());
        match written {
            Poll::Ready(Ok(amount)) => self.news.sent += amount,
            Poll::Ready(Err(_)) => self.news.client = ClientEnd::Gone,
            Poll::Pending => {}
        }
        written
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
        mut put: impl FnMut(&[u8]),
    ) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let amount = self.next.portion(&self.early).min(room);
            put(&self.early[..amount]);
            self.next.give(amount);
            self.news.has_received = true;
            self.early.drain(..amount);
            if self.early.is_empty() {
                self.early = Vec::new();
            }
            return Poll::Ready(Ok(()));
        }
        if self.turn == 0 {
            // The others have their turn now.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // An engine reads whenever it is woken, over HTTP/2 after every answer: each of these reads would
        // be a system call that finds nothing.
        if !self.more && !self.look {
            ready!(self.stream.poll_readable(cx))?;
        }
        self.look = false;
        SCRATCH.with_borrow_mut(|scratch| {
            let most = scratch.len().min(room);
            let read = self.poll_fill(cx, &mut scratch[..most]);
            self.more = matches!(read, Poll::Ready(Ok(amount)) if amount == most);
            let amount = ready!(read)?;
            self.turn = self.turn.saturating_sub(amount);
            self.news.has_received |= amount > 0;
            let portion = self.next.portion(&scratch[..amount]);
            put(&scratch[..portion]);
            self.next.give(portion);
            self.early.extend_from_slice(&scratch[portion..amount]);
            Poll::Ready(Ok(()))
        })
    }
}

impl<S: Stream> Io<S> {
    /// Reads at most `room` bytes, and hands them to `put`; none is the end of the stream.
    pub(super) fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
        put: impl FnMut(&[u8]),
    ) -> Poll<io::Result<()>> {
        lock(&self.shared).poll_read(cx, room, put)
    }

    /// Has the stream write what it has buffered, as far as it can.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.shared).stream).poll_flush(cx)
    }
}

impl<S: Stream> Read for Io<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_read_into(cx, buf.remaining(), |bytes| buf.put_slice(bytes))
    }
}

impl<S: Stream> Write for Io<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        lock(&self.shared).poll_write(cx, |stream, cx| stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &mut *lock(&self.shared);
        let flushed = Pin::new(&mut shared.stream).poll_flush(cx);
        shared.news.is_blocked = flushed.is_pending();
        shared.news.flushes += u64::from(flushed.is_ready());
        if let Poll::Ready(Err(_)) = flushed {
            shared.news.client = ClientEnd::Gone;
        }
        flushed
    }

    /// Only says that all is written: the end of a connection is the same for every protocol, and
    /// comes when the engine is gone (`linger`).
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &mut *lock(&self.shared);
        ready!(Pin::new(&mut shared.stream).poll_flush(cx))?;
        shared.news.is_closing = true;
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        lock(&self.shared).poll_write(cx, |stream, cx| stream.poll_write_vectored(cx, bufs))
    }
}
