//! The stream as an engine reads and writes it, beginning with the bytes that were read already.
//!
//! An engine has the [`Io`]; who drives the conversation has the [`Wire`] to it, and learns there what
//! was read and written, and whether the client takes nothing. The two share the stream through a lock,
//! because hyper may hand an upgraded stream to another thread; nobody ever waits for it.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use ::hyper::rt::{Read, ReadBufCursor, Write};
use async_channel::{Receiver, Sender};

use super::opening::Opening;
use crate::net::Stream;

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
    /// How much may be read before the other tasks get a turn: an engine reads on for as long as
    /// something comes.
    turn: usize,
    /// Whether the last read was full, so that there may be more.
    more: bool,
    /// Whether the next read looks at the socket, even if nobody has said that something is there.
    look: bool,
    /// Whether the client has closed its side.
    ended: bool,
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
}

/// Makes the two ends of a stream.
pub(super) fn io<S: Stream>(stream: S, opening: Opening) -> (Io<S>, Wire<S>) {
    let early = opening.0;
    let news = News { received: early.len(), has_received: true, ..News::default() };
    let shared = Arc::new(Mutex::new(Shared {
        stream,
        early,
        turn: 0,
        more: false,
        look: false,
        ended: false,
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

impl<S: Stream> Wire<S> {
    /// Lets the engine read so many bytes until its task has had its turn.
    pub(super) fn begin_turn(&self, bytes: usize) {
        lock(&self.shared).turn = bytes;
    }

    pub(super) fn news(&self) -> News {
        let news = &mut lock(&self.shared).news;
        let told = *news;
        (news.received, news.sent) = (0, 0);
        told
    }

    /// What the engine was given so far belongs to a request that is known. Tells how often all was
    /// written by now.
    pub(super) fn forget(&self) -> u64 {
        let news = &mut lock(&self.shared).news;
        news.has_received = false;
        news.flushes
    }

    /// Has the next read look at the socket, even if nobody has said that something is there.
    pub(super) fn look(&self) {
        lock(&self.shared).look = true;
    }

    /// Reads ahead once, while a request is answered, so that a client that is gone is noticed. Ready
    /// if the engine may have something to do: with bytes, or with the error. A client that has only
    /// closed its side may still wait for its answer.
    pub(super) fn poll_ahead(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &mut *lock(&self.shared);
        if shared.ended || !shared.early.is_empty() {
            return Poll::Pending;
        }
        SCRATCH.with_borrow_mut(|scratch| {
            ready!(shared.stream.poll_readable(cx))?;
            let amount = ready!(Pin::new(&mut shared.stream).poll_read(cx, scratch))?;
            shared.note_read(amount);
            shared.early.extend_from_slice(&scratch[..amount]);
            Poll::Ready(Ok(()))
        })
    }

    /// If the stream is closed while this is so, the client's end of it is reset.
    pub(super) fn reset_on_close(&self, resets: bool) {
        let shared = &mut *lock(&self.shared);
        if shared.resets != resets {
            shared.resets = resets;
            shared.stream.reset_on_close(resets);
        }
    }

    /// Waits until the engine, or whoever has the stream from it, has let it go.
    pub(super) async fn closed(&self) {
        let Err(_closed) = self.open.recv().await;
    }

    /// The stream, once the engine has let it go.
    pub(super) fn into_stream(self) -> Option<S> {
        let shared = Arc::into_inner(self.shared)?;
        Some(shared.into_inner().unwrap_or_else(PoisonError::into_inner).stream)
    }
}

impl<S: Stream> Shared<S> {
    fn note_read(&mut self, amount: usize) {
        self.ended = amount == 0;
        self.news.received += amount;
    }

    fn note_write(&mut self, written: &Poll<io::Result<usize>>) {
        self.news.is_blocked = written.is_pending();
        self.news.writes += u64::from(written.is_ready());
        if let Poll::Ready(Ok(amount)) = written {
            self.news.sent += amount;
        }
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
        mut put: impl FnMut(&[u8]),
    ) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let amount = self.early.len().min(room);
            put(&self.early[..amount]);
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
            let read = Pin::new(&mut self.stream).poll_read(cx, &mut scratch[..most]);
            self.more = matches!(read, Poll::Ready(Ok(amount)) if amount == most);
            let amount = ready!(read)?;
            self.turn = self.turn.saturating_sub(amount);
            self.note_read(amount);
            self.news.has_received |= amount > 0;
            put(&scratch[..amount]);
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
        let shared = &mut *lock(&self.shared);
        let written = Pin::new(&mut shared.stream).poll_write(cx, buf);
        shared.note_write(&written);
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &mut *lock(&self.shared);
        let flushed = Pin::new(&mut shared.stream).poll_flush(cx);
        shared.news.is_blocked = flushed.is_pending();
        shared.news.flushes += u64::from(flushed.is_ready());
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
        let shared = &mut *lock(&self.shared);
        let written = Pin::new(&mut shared.stream).poll_write_vectored(cx, bufs);
        shared.note_write(&written);
        written
    }
}
