//! The first bytes of a connection, which tell HTTP/2 from HTTP/1.1.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::net::Stream;
use crate::register::State;
use crate::server::{Connection, first_byte_of_newcomer, poll_last_look};
use crate::web::Limits;

/// What an HTTP/2 client begins with (RFC 9113, 3.4). No HTTP/1.1 request begins like it.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

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

    /// Reads once. 0 is the end of the stream.
    fn poll_read<S: Stream>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut buffer = [0; READ];
        let amount = ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        self.0.extend_from_slice(&buffer[..amount]);
        Poll::Ready(Ok(amount))
    }
}

/// Waits for the opening. `None` if there will be none: the client has closed, or the drain or the
/// time limit ends the wait; but before they do, bytes that are there are read. An opening that has
/// only begun by then is HTTP/1.1, to be refused as such.
pub(super) async fn receive<S: Stream>(
    stream: &mut S,
    connection: &Connection,
    limits: &Limits,
) -> io::Result<Option<Opening>> {
    let mut opening = Opening(Vec::new());
    connection.set_state(State::New, Some(limits.idle));
    while opening.is_undecided() {
        let is_new = opening.0.is_empty();
        let read = poll_fn(|cx| {
            let asked = is_new && connection.should_close();
            poll_last_look(connection, asked, stream, cx, |stream, cx| {
                opening.poll_read(stream, cx)
            })
        });
        let mut amount = read.await?;
        if amount.is_none() && is_new {
            let read = poll_fn(|cx| opening.poll_read(stream, cx));
            // In a box: few connections come to this.
            amount = Box::pin(first_byte_of_newcomer(connection, read)).await.transpose()?;
        }
        connection.count_received(amount.unwrap_or(0));
        if amount.is_none_or(|amount| amount == 0) {
            return Ok((!is_new).then_some(opening));
        }
        if is_new {
            connection.set_state(State::Head, Some(limits.head_time));
        }
    }
    Ok(Some(opening))
}
