//! What is remembered of the client of the request in flight.

use std::task::{Context, Poll};

use crate::net::ResetWatch;
use crate::web::Exchange;

/// The client of the request in flight.
#[derive(Default)]
pub(super) struct Client {
    /// Whether it is one of HTTP/1.0, which knows no interim answers.
    http_1_0: bool,
    /// What the handler has, where it can hear of the client's end.
    exchange: Option<Exchange>,
    /// Whether the client was asked if it is there.
    was_asked: bool,
    /// Tells of its answer if it is not, where the system can.
    reset: Option<ResetWatch>,
}

impl Client {
    pub(super) fn new(http_1_0: bool) -> Client {
        Client { http_1_0, ..Client::default() }
    }

    /// The handler is asked, and has this.
    pub(super) fn set_exchange(&mut self, exchange: Exchange) {
        self.exchange = Some(exchange);
    }

    /// The client is gone.
    pub(super) fn note_gone(&self) {
        self.exchange.iter().for_each(Exchange::note_client_gone);
    }

    /// Whether it can be asked if it is there, and somebody wants to know: the server, or else the handler. If not, the
    /// task of `cx` is woken when the handler does.
    pub(super) fn should_be_asked(&self, server_wants: bool, cx: &Context<'_>) -> bool {
        let handler_wants = || self.exchange.as_ref().is_some_and(|it| it.is_client_watched(cx));
        !self.http_1_0 && (server_wants || handler_wants())
    }

    pub(super) fn was_asked(&self) -> bool {
        self.was_asked
    }

    /// It is asked. `reset`: the watch for its answer.
    pub(super) fn ask(&mut self, reset: Option<ResetWatch>) {
        (self.was_asked, self.reset) = (true, reset);
    }

    /// Ready when the connection has been reset.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.reset.as_mut().map_or(Poll::Pending, |reset| reset.as_mut().poll(cx))
    }
}
