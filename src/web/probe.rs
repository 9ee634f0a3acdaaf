//! Whether a client that has closed its side is gone, or waits for its answer.

#[cfg(feature = "hyper")]
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

#[cfg(feature = "hyper")]
use crate::net::{ResetWatch, Stream};

/// An interim answer, which every client of HTTP/1.1 must skip (RFC 9110, 15.2). The system of a client that is
/// gone answers it with a reset.
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Asks one client, once, for an engine that writes by itself.
#[cfg(feature = "hyper")]
pub(crate) struct Probe {
    unsent: &'static [u8],
    reset: Option<ResetWatch>,
}

#[cfg(feature = "hyper")]
impl Probe {
    /// Nothing is written yet, but the connection is watched.
    pub(crate) fn new<S: Stream>(stream: &S) -> Probe {
        Probe { unsent: CONTINUE, reset: stream.watch_for_reset() }
    }

    /// Writes what is left of the question. If part of it is written, the rest has to be before anything else.
    pub(crate) fn poll_ask<S: Stream>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            match ready!(Pin::new(&mut *stream).poll_write(cx, self.unsent))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                amount => self.unsent = &self.unsent[amount..],
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ready once the client is known to be gone.
    pub(crate) fn poll_gone<S: Stream>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let asked = match ready!(self.poll_ask(stream, cx)) {
            // A stream that has a buffer of its own would keep it there.
            Ok(()) => Pin::new(stream).poll_flush(cx),
            Err(error) => Poll::Ready(Err(error)),
        };
        match (asked, &mut self.reset) {
            (Poll::Ready(Err(_gone)), _) => Poll::Ready(()),
            (_, Some(reset)) => reset.as_mut().poll(cx),
            (_, None) => Poll::Pending,
        }
    }
}
