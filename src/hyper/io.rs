//! The stream as hyper reads and writes it, beginning with the bytes that were read already.
//!
//! It is `Send`, as an upgraded stream has to be, so what it tells the rest is atomic.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use ::hyper::rt::{Read, ReadBufCursor, Write};
use async_channel::{Receiver, Sender};

use super::opening::Opening;
use crate::net::Stream;

/// How much is read at once, in bytes.
const READ: usize = 16 * 1024;

/// How much is read in a row, in bytes, before the other tasks get a turn: hyper reads on for as long
/// as something comes.
const FAIR: usize = 128 * 1024;

thread_local! {
    /// Every read goes through here, and only what has really arrived is copied on: hyper's own
    /// buffer would have to be zeroed first, all of it, for each read.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

pub(super) struct Io<S> {
    stream: S,
    /// What was read before hyper came.
    early: Vec<u8>,
    news: Arc<News>,
    /// How much was read since the socket was last asked; 0: ask it first whether there is something.
    in_a_row: usize,
    closing: bool,
    _open: Sender<Infallible>,
}

#[derive(Default)]
struct News {
    received: AtomicBool,
    closing: AtomicBool,
    look: AtomicBool,
    blocked: AtomicBool,
    writes: AtomicU64,
    /// Bytes read and written since they were last asked for.
    bytes: [AtomicUsize; 2],
}

impl News {
    fn note_read(&self, amount: usize) {
        self.received.store(true, Relaxed);
        self.bytes[0].fetch_add(amount, Relaxed);
    }

    fn note_write(&self, written: &Poll<io::Result<usize>>) {
        self.blocked.store(written.is_pending(), Relaxed);
        if written.is_ready() {
            self.writes.fetch_add(1, Relaxed);
        }
        if let Poll::Ready(Ok(amount)) = written {
            self.bytes[1].fetch_add(*amount, Relaxed);
        }
    }
}

/// What can be seen of an [`Io`] from outside.
pub(super) struct Wire {
    news: Arc<News>,
    open: Receiver<Infallible>,
}

impl Wire {
    /// Whether bytes have come since this was last asked, or [forgotten](Wire::forget).
    pub(super) fn has_received(&self) -> bool {
        self.news.received.load(Relaxed)
    }

    pub(super) fn forget(&self) {
        self.news.received.store(false, Relaxed);
    }

    /// Has the next read look at the socket, even if nobody has said that something is there.
    pub(super) fn look(&self) {
        self.news.look.store(true, Relaxed);
    }

    /// Whether hyper has written all that it had to write.
    pub(super) fn is_closing(&self) -> bool {
        self.news.closing.load(Relaxed)
    }

    /// Whether the client takes nothing of what is to be written; then, after how many writes.
    pub(super) fn blocked_after(&self) -> Option<u64> {
        self.news.blocked.load(Relaxed).then(|| self.news.writes.load(Relaxed))
    }

    /// How many bytes were read and written since this was last asked.
    pub(super) fn take_bytes(&self) -> (usize, usize) {
        let [received, sent] = &self.news.bytes;
        (received.swap(0, Relaxed), sent.swap(0, Relaxed))
    }

    /// Waits until the stream is closed, whoever has it.
    pub(super) async fn closed(&self) {
        let Err(_closed) = self.open.recv().await;
    }
}

impl<S: Stream> Io<S> {
    pub(super) fn new(stream: S, opening: Opening) -> (Io<S>, Wire) {
        let news = Arc::new(News::default());
        news.note_read(opening.0.len());
        let (sender, open) = async_channel::bounded(1);
        let early = opening.0;
        let io =
            Io { stream, early, news: news.clone(), in_a_row: 0, closing: false, _open: sender };
        (io, Wire { news, open })
    }
}

impl<S: Stream> Read for Io<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.early.is_empty() {
            let amount = this.early.len().min(buf.remaining());
            buf.put_slice(&this.early[..amount]);
            this.early.drain(..amount);
            if this.early.is_empty() {
                this.early = Vec::new();
            }
            return Poll::Ready(Ok(()));
        }
        // hyper reads whenever it is woken, in HTTP/2 after every answer: each of these reads would
        // be a system call that finds nothing. And a client that sends without end has to let the others
        // have their turn.
        if this.in_a_row == 0 && !this.news.look.load(Relaxed) {
            ready!(this.stream.poll_readable(cx))?;
        }
        this.news.look.store(false, Relaxed);
        SCRATCH.with_borrow_mut(|scratch| {
            let most = scratch.len().min(buf.remaining());
            let read = Pin::new(&mut this.stream).poll_read(cx, &mut scratch[..most]);
            this.in_a_row = match read {
                Poll::Ready(Ok(amount)) if amount == most && this.in_a_row < FAIR => {
                    this.in_a_row + amount
                }
                _ => 0,
            };
            let amount = ready!(read)?;
            buf.put_slice(&scratch[..amount]);
            if amount > 0 {
                this.news.note_read(amount);
            }
            Poll::Ready(Ok(()))
        })
    }
}

impl<S: Stream> Write for Io<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.news.note_write(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Half-closes, then waits for the peer to close too, so that a reset in reply to late bytes
    /// cannot overtake the last answer. Who drives the connection limits the wait.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.closing {
            this.closing = true;
            this.news.closing.store(true, Relaxed);
            this.stream.half_close()?;
        }
        SCRATCH.with_borrow_mut(|scratch| {
            loop {
                // As above: it may go on sending.
                ready!(this.stream.poll_readable(cx))?;
                if ready!(Pin::new(&mut this.stream).poll_read(cx, scratch))? == 0 {
                    return Poll::Ready(Ok(()));
                }
            }
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.news.note_write(&written);
        written
    }
}
