//! A connection that waits for a request, with nothing but the stream in its hands.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::shared::Http;
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
    pub(super) async fn first_bytes(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let waited = poll_fn(|cx| self.poll_first(&mut bytes, cx)).await?;
        if waited.is_none() && self.connection.state() == State::New {
            // In a box: few connections come to this.
            Box::pin(self.last_chance(&mut bytes)).await?;
        }
        Ok(bytes)
    }

    // A method, so that the wait above holds one reference and not three.
    fn poll_first(
        &mut self,
        bytes: &mut Vec<u8>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<usize>>> {
        let Resting { stream, connection, http, .. } = self;
        poll_last_look(connection, connection.should_close(), stream, cx, |stream, cx| {
            http.poll_receive(stream, connection, bytes, cx)
        })
    }

    async fn last_chance(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let Resting { stream, connection, http, .. } = self;
        let first = poll_fn(|cx| http.poll_receive(stream, connection, bytes, cx));
        first_byte_of_newcomer(connection, first).await.transpose()?;
        Ok(())
    }
}
