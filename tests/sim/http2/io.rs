//! The client's end of a connection, as h2 reads and writes it: slow if the plan says so, and deaf.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use adieu::Stream;
use adieu::testing::MemoryStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{Frames, GOAWAY, HEADERS, PING};
use crate::world::World;

/// What the client and h2 share of the connection.
pub struct Line {
    stream: RefCell<MemoryStream>,
    /// The client has closed its side: what h2 writes goes nowhere.
    is_muted: Cell<bool>,
}

impl Line {
    pub fn new(stream: MemoryStream) -> Line {
        Line { stream: RefCell::new(stream), is_muted: Cell::default() }
    }

    pub fn send(&self, bytes: &[u8]) {
        self.stream.borrow().send(bytes);
    }

    pub fn half_close(&self) {
        self.is_muted.set(true);
        // It is in memory, and cannot fail.
        let _ = self.stream.borrow().half_close();
    }

    pub fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        futures_lite::AsyncRead::poll_read(Pin::new(&mut *self.stream.borrow_mut()), cx, buf)
    }
}

pub struct Io {
    pub line: Rc<Line>,
    pub world: Rc<World>,
    pub number: usize,
    /// What the client says, but for the preface.
    pub said: Frames,
    /// How much is read at once, and the rest after that.
    pub reads: (usize, Duration),
    pub resting: Option<Pin<Box<dyn Future<Output = ()>>>>,
    pub ears: Ears,
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.ears.pass(buf) {
                return Poll::Ready(Ok(()));
            }
            if let Some(resting) = &mut self.resting {
                ready!(resting.as_mut().poll(cx));
                self.resting = None;
            }
            let (most, rest) = self.reads;
            let mut bytes = vec![0; most.min(16 * 1024)];
            let amount = ready!(self.line.poll_read(cx, &mut bytes))?;
            if amount == 0 {
                return Poll::Ready(Ok(()));
            }
            self.ears.hear(&bytes[..amount]);
            if !rest.is_zero() {
                let world = self.world.clone();
                self.resting = Some(Box::pin(async move { world.sleep(rest).await }));
            }
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.line.is_muted.get() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let Io { line, said, world, number, .. } = &mut *self;
        let stream = &mut *line.stream.borrow_mut();
        let written = futures_lite::AsyncWrite::poll_write(Pin::new(stream), cx, bytes);
        if let Poll::Ready(Ok(amount)) = written {
            said.pass(&bytes[..amount], |frame| {
                let streams = &mut world.seen[*number].borrow_mut().http2.streams;
                let stream = streams.iter_mut().find(|one| one.id == Some(frame.stream));
                if let Some(stream) = stream.filter(|_| frame.kind == HEADERS) {
                    stream.written = Some(world.stamp());
                }
            });
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.line.stream.borrow().half_close())
    }
}

/// Takes in what the server says, and passes on what the client wants to hear.
#[derive(Default)]
pub struct Ears {
    is_deaf: bool,
    frames: Frames,
    heard: VecDeque<u8>,
    /// Bytes of a frame that has not come whole, if the client is deaf to some.
    part: Vec<u8>,
}

impl Ears {
    pub fn new(is_deaf: bool) -> Ears {
        Ears { is_deaf, ..Ears::default() }
    }

    fn hear(&mut self, bytes: &[u8]) {
        if !self.is_deaf {
            self.heard.extend(bytes);
            return;
        }
        // Byte by byte: a frame ends where its last one passes.
        for byte in bytes {
            self.part.push(*byte);
            let Ears { frames, part, heard, .. } = self;
            frames.pass(&[*byte], |frame| {
                let part = std::mem::take(part);
                if !matches!(frame.kind, PING | GOAWAY) {
                    heard.extend(part);
                }
            });
        }
    }

    /// Hands on what was heard; tells whether there was anything.
    fn pass(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let amount = self.heard.len().min(buf.remaining());
        self.heard.drain(..amount).for_each(|byte| buf.put_slice(&[byte]));
        amount > 0
    }
}
