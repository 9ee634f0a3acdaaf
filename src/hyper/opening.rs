//! The first bytes of a connection, which tell HTTP/2 from HTTP/1.1.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};

use super::Limits;
use crate::connection::{Connection, State};
use crate::net::Stream;

/// What an HTTP/2 client begins with (RFC 9113, 3.4). No HTTP/1.1 request begins like it.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much is read at once, in bytes: most requests fit.
const READ: usize = 1024;

/// As many bytes as it takes to know, or more.
pub(super) struct Opening(pub(super) Vec<u8>);

impl Opening {
    pub(super) fn is_http2(&self) -> bool {
        self.0.starts_with(PREFACE)
    }

    fn is_undecided(&self) -> bool {
        PREFACE.starts_with(&self.0) && self.0.len() < PREFACE.len()
    }
}

/// Waits for the opening. `None` if there will be none: the client has closed, or the drain or the
/// time limit ends the wait; but before they do, bytes that are there are read.
pub(super) async fn receive<S: Stream>(
    stream: &mut S,
    connection: &Connection,
    limits: Limits,
) -> io::Result<Option<Opening>> {
    let mut opening = Opening(Vec::new());
    connection.set_state(State::New, Some(limits.idle));
    while opening.is_undecided() {
        let amount = poll_fn(|cx| {
            let is_new = opening.0.is_empty();
            let over = connection.expired() || (is_new && connection.draining());
            if !over {
                connection.wake_on_news(cx);
                ready!(stream.poll_readable(cx))?;
            }
            let mut buffer = [0; READ];
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer)? {
                Poll::Ready(amount) => {
                    opening.0.extend_from_slice(&buffer[..amount]);
                    Poll::Ready(io::Result::Ok(amount))
                }
                Poll::Pending if over => Poll::Ready(Ok(0)),
                Poll::Pending => Poll::Pending,
            }
        });
        if amount.await? == 0 {
            return Ok(None);
        }
        if connection.state() == State::New {
            connection.set_state(State::Head, Some(limits.head));
        }
    }
    Ok(Some(opening))
}
