//! The stream as h2 reads and writes it, watched for the frames that end requests.
//!
//! h2 does not tell when the last byte of an answer has left. But all that it writes passes here.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

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
    /// The client or the server has reset it.
    Reset,
}

/// The streams that something has become of, in the order in which it has.
pub(super) type Events = Rc<RefCell<Vec<(u32, Event)>>>;

pub(super) struct Framed<S> {
    io: Io<S>,
    received: Frames,
    sent: Frames,
    /// What was written, and may still be in a buffer of the stream, as TLS has one.
    unflushed: Vec<(u32, Event)>,
    events: Events,
}

impl<S: Stream> Framed<S> {
    pub(super) fn new(io: Io<S>, events: Events) -> Framed<S> {
        let received = Frames::after(PREFACE.len());
        Framed { io, received, sent: Frames::default(), unflushed: Vec::new(), events }
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
        self.events.borrow_mut().append(&mut self.unflushed);
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
        let Framed { io, received, events, .. } = &mut *self;
        io.poll_read_into(cx, buf.remaining(), |bytes| {
            buf.put_slice(bytes);
            received.pass(bytes, |frame| {
                if frame.kind == frames::RST_STREAM {
                    events.borrow_mut().push((frame.stream, Event::Reset));
                }
            });
        })
    }
}

impl<S: Stream> AsyncWrite for Framed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
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
