//! What is remembered of the client of the request in flight.

use std::task::Context;
use std::time::Duration;

use crate::web::Exchange;

/// When a client that was asked whether it is there is looked at for the first time; each later time takes twice
/// as long.
const FIRST_LOOK: Duration = Duration::from_millis(100);

/// The client of the request in flight.
#[derive(Default)]
pub(super) struct Client {
    /// Whether it is one of HTTP/1.0, which knows no interim answers.
    http_1_0: bool,
    /// What the handler has, where it can hear of the client's end.
    exchange: Option<Exchange>,
    /// Once the client was asked whether it is there: how long the next look waits.
    next_look: Option<Duration>,
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

    /// Whether it was asked.
    pub(super) fn was_asked(&self) -> bool {
        self.next_look.is_some()
    }

    /// How long to wait for the next look.
    pub(super) fn next_look(&mut self) -> Duration {
        let wait = self.next_look.map_or(FIRST_LOOK, |before| before.saturating_mul(2));
        self.next_look = Some(wait);
        wait
    }
}
