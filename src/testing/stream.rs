//! A connection in memory: two pipes.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures_lite::{AsyncRead, AsyncWrite};

use super::step::{lock, wake};
use crate::net::Stream;

/// One end of an in-memory connection. Dropping it closes it: the other end reads the end of the
/// stream and can write no more. Dropped with bytes unread, or after
/// [`reset_on_close`](Stream::reset_on_close), it resets, as TCP does: the other end loses what it has not
/// read yet.
///
/// Tests that step an executor use the methods that do not wait; it reads and writes asynchronously too.
#[derive(Debug)]
pub struct MemoryStream {
    incoming: Arc<Mutex<Pipe>>,
    outgoing: Arc<Mutex<Pipe>>,
    number: u64,
}

#[derive(Debug)]
struct Pipe {
    bytes: VecDeque<u8>,
    capacity: usize,
    ended: bool,
    reset: bool,
    unread: bool,
    /// The end of its writer's stream is a reset.
    resets: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl MemoryStream {
    pub(super) fn pair(capacity: usize, number: u64) -> (MemoryStream, MemoryStream) {
        let pipe = || {
            Arc::new(Mutex::new(Pipe {
                bytes: VecDeque::new(),
                capacity,
                ended: false,
                reset: false,
                unread: false,
                resets: false,
                reader: None,
                writer: None,
            }))
        };
        let (up, down) = (pipe(), pipe());
        let client = MemoryStream { incoming: down.clone(), outgoing: up.clone(), number };
        (client, MemoryStream { incoming: up, outgoing: down, number })
    }

    /// The number of the client.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Sends bytes, whether they fit or not.
    ///
    /// # Panics
    ///
    /// If the connection is closed.
    pub fn send(&self, bytes: &[u8]) {
        let mut pipe = lock(&self.outgoing);
        assert!(!pipe.unread && !pipe.ended, "the connection is closed");
        pipe.bytes.extend(bytes);
        wake(&mut pipe.reader);
    }

    /// Takes what has been received.
    pub fn received(&self) -> Vec<u8> {
        self.receive(usize::MAX)
    }

    /// Takes at most so many bytes of what has been received.
    pub fn receive(&self, most: usize) -> Vec<u8> {
        let mut pipe = lock(&self.incoming);
        let amount = most.min(pipe.bytes.len());
        let bytes = pipe.bytes.drain(..amount).collect();
        wake(&mut pipe.writer);
        bytes
    }

    /// Takes what has been received, as text.
    ///
    /// # Panics
    ///
    /// If it is not UTF-8.
    pub fn text(&self) -> String {
        String::from_utf8(self.received()).expect("it is text")
    }

    /// Whether the other end has closed, or half-closed; what it sent before may still be unread.
    pub fn is_closed(&self) -> bool {
        lock(&self.incoming).ended
    }

    /// Whether the other end was closed with a reset, and what it had sent last is lost.
    pub fn is_reset(&self) -> bool {
        lock(&self.incoming).reset
    }

    /// Whether the other end is gone, and not just half-closed.
    pub fn is_gone(&self) -> bool {
        lock(&self.outgoing).unread
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        let mut incoming = lock(&self.incoming);
        incoming.unread = true;
        let is_unread = !incoming.bytes.is_empty();
        wake(&mut incoming.writer);
        drop(incoming);
        let mut outgoing = lock(&self.outgoing);
        outgoing.ended = true;
        if is_unread || outgoing.resets {
            outgoing.reset = true;
            outgoing.bytes.clear();
        }
        wake(&mut outgoing.reader);
    }
}

impl AsyncRead for MemoryStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = lock(&self.incoming);
        if pipe.bytes.is_empty() && !pipe.ended {
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if pipe.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let amount = buf.len().min(pipe.bytes.len());
        io::Read::read_exact(&mut pipe.bytes, &mut buf[..amount])?;
        wake(&mut pipe.writer);
        Poll::Ready(Ok(amount))
    }
}

impl AsyncWrite for MemoryStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = lock(&self.outgoing);
        if pipe.unread || pipe.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let amount = buf.len().min(pipe.capacity.saturating_sub(pipe.bytes.len()));
        if amount == 0 && !buf.is_empty() {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        pipe.bytes.extend(&buf[..amount]);
        wake(&mut pipe.reader);
        Poll::Ready(Ok(amount))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.half_close())
    }
}

impl Stream for MemoryStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = lock(&self.incoming);
        if pipe.bytes.is_empty() && !pipe.ended {
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn half_close(&self) -> io::Result<()> {
        let mut pipe = lock(&self.outgoing);
        pipe.ended = true;
        wake(&mut pipe.reader);
        Ok(())
    }

    fn reset_on_close(&self, resets: bool) {
        lock(&self.outgoing).resets = resets;
    }
}
