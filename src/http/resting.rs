//! A connection that waits for a request, with nothing but the stream in its hands.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::Http;
use crate::net::Stream;
use crate::register::State;
use crate::server::{Connection, first_byte_of_newcomer, poll_last_look};

/// What is remembered from one request to the next.
#[derive(Default)]
pub(super) struct Past {
    /// Requests received.
    pub(super) requests: u32,
    /// Empty lines skipped since the last request.
    pub(super) empty_lines: u8,
    /// Looks for one more request that were taken while draining.
    pub(super) looks: u8,
}

/// A connection between requests, or before its first.
pub(super) struct Resting<S> {
    pub(super) stream: S,
    pub(super) connection: Connection,
    pub(super) http: Rc<Http>,
    pub(super) past: Past,
}

impl<S: Stream> Resting<S> {
    pub(super) fn new(stream: S, connection: Connection, http: Rc<Http>) -> Resting<S> {
        connection.set_state(State::New, Some(http.limits.idle));
        Resting { stream, connection, http, past: Past::default() }
    }

    /// Waits for the first bytes of a request. Empty: there will be none.
    ///
    pub(super) async fn first_bytes(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let Resting { stream, connection, http, .. } = self;
        let read = poll_fn(|cx| {
            poll_last_look(connection, true, stream, cx, |stream, cx| {
                http.poll_read(stream, connection, &mut bytes, cx)
            })
        });
        if read.await?.is_none() && connection.state() == State::New {
            let read = poll_fn(|cx| http.poll_read(stream, connection, &mut bytes, cx));
            // In a box: few connections come to this.
            Box::pin(first_byte_of_newcomer(connection, read)).await.transpose()?;
        }
        Ok(bytes)
    }
}

impl Http {
    /// Reads once, and appends to `inbox`. 0 is the end of the stream.
    pub(super) fn poll_read<S: Stream>(
        &self,
        stream: &mut S,
        connection: &Connection,
        inbox: &mut Vec<u8>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let scratch = &mut *self.scratch.borrow_mut();
        let amount = ready!(Pin::new(stream).poll_read(cx, scratch))?;
        inbox.extend_from_slice(&scratch[..amount]);
        connection.count_received(amount);
        Poll::Ready(Ok(amount))
    }
}
