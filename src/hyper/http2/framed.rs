//! The stream as h2 reads and writes it, watched for the frames that end requests, and for the client's end.
//!
//! h2 does not tell when the last byte of an answer has left. But all that it writes passes here. And it takes the
//! end of the client's side for the end of the connection: so it is not told before the answers are out.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use ::hyper::rt::Write;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{self, Frame, Frames};
use crate::hyper::io::Io;
use crate::hyper::opening::PREFACE;
use crate::net::Stream;

/// What has become of a stream of the connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Event {
    /// The system has taken so many bytes of the answer's content.
    Sent(usize),
    /// The system has taken the last byte of the answer.
    Answered,
    /// The server has reset it.
    Reset,
    /// The client has reset it.
    Cancelled,
}

/// A frame of a type that is for experiments, without payload. Every client discards it (RFC 9113, 5.5).
const PROBE: &[u8] = &[0, 0, 0, u8::MAX, 0, 0, 0, 0, 0];

/// What is seen of a connection on its wire.
#[derive(Default)]
pub(super) struct Seen {
    /// The streams that something has become of, in the order in which it has.
    pub(super) events: RefCell<Vec<(u32, Event)>>,
    /// Whether the client has closed its side.
    has_ended: Cell<bool>,
    /// Whether h2 may hear of that.
    tells: Cell<bool>,
    /// Whether a probe is to be written with the next flush.
    probes: Cell<bool>,
}

impl Seen {
    /// Whether the client has closed its side, and h2 has not been told.
    pub(super) fn has_ended_untold(&self) -> bool {
        self.has_ended.get() && !self.tells.get()
    }

    /// Has h2 hear, when it reads next, that the client has closed its side.
    pub(super) fn tell_end(&self) {
        self.tells.set(true);
    }

    /// Has something written that means nothing: if the client is gone, its system refuses it, and the next
    /// write fails.
    pub(super) fn probe(&self) {
        self.probes.set(true);
    }
}

pub(super) struct Framed<S> {
    io: Io<S>,
    received: Frames,
    sent: Frames,
    /// What was written, and may still be in a buffer of the stream, as TLS has one.
    unflushed: Vec<(u32, Event)>,
    /// What is left to write of a probe.
    probe: &'static [u8],
    seen: Rc<Seen>,
}

impl<S: Stream> Framed<S> {
    pub(super) fn new(io: Io<S>, seen: Rc<Seen>) -> Framed<S> {
        let received = Frames::after(PREFACE.len());
        let (sent, unflushed) = (Frames::default(), Vec::new());
        Framed { io, received, sent, unflushed, probe: &[], seen }
    }

    /// Ready when nothing of a probe is left to write.
    fn poll_probe(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.probe.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, self.probe))?;
            self.probe = &self.probe[written..];
        }
        Poll::Ready(Ok(()))
    }

    fn note_sent(&mut self, bytes: &[u8]) {
        let unflushed = &mut self.unflushed;
        self.sent.pass(bytes, |Frame { kind, stream, length, ends_stream }| {
            if kind == frames::DATA {
                unflushed.push((stream, Event::Sent(length)));
            }
            if ends_stream {
                unflushed.push((stream, Event::Answered));
            } else if kind == frames::RST_STREAM {
                unflushed.push((stream, Event::Reset));
            }
        });
    }

    fn note_flushed(&mut self) {
        self.seen.events.borrow_mut().append(&mut self.unflushed);
    }

    /// To be called when a write has to wait: what was written before it may be out all the same.
    fn note_blocked(&mut self, cx: &mut Context<'_>) {
        if !self.unflushed.is_empty() && matches!(self.io.poll_drain(cx), Poll::Ready(Ok(()))) {
            self.note_flushed();
        }
    }
}

impl<S: Stream> AsyncRead for Framed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Framed { io, received, seen, .. } = &mut *self;
        if !seen.has_ended.get() {
            ready!(io.poll_read_into(cx, buf.remaining(), |bytes| {
                buf.put_slice(bytes);
                received.pass(bytes, |frame| {
                    if frame.kind == frames::RST_STREAM {
                        seen.events.borrow_mut().push((frame.stream, Event::Cancelled));
                    }
                });
                seen.has_ended.set(bytes.is_empty());
            }))?;
        }
        match seen.has_ended_untold() {
            true => Poll::Pending,
            false => Poll::Ready(Ok(())),
        }
    }
}

impl<S: Stream> AsyncWrite for Framed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_probe(cx))?;
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        match written {
            Poll::Ready(Ok(amount)) => self.note_sent(&buf[..amount]),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.note_blocked(cx),
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_probe(cx))?;
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        match written {
            Poll::Ready(Ok(mut amount)) => {
                for buf in bufs {
                    let taken = amount.min(buf.len());
                    self.note_sent(&buf[..taken]);
                    amount -= taken;
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.note_blocked(cx),
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // h2 flushes what ends in a whole frame, and no block of header fields is open.
        if self.seen.probes.take() && self.probe.is_empty() {
            self.probe = PROBE;
        }
        ready!(self.poll_probe(cx))?;
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.note_flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
