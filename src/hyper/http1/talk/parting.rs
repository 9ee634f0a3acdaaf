//! Requests that part from their client: it goes before its answer comes, or the time of both is over.

use std::task::{Context, Poll};

use ::hyper::StatusCode;
use log::debug;

use super::Talk;
use crate::hyper::settings::WhenGone;
use crate::net::Stream;
use crate::register::ClientEnd;
use crate::words::LOG;

impl<T: Stream> Talk<T> {
    /// Watches the client while a request is answered. Ready if something is new: bytes, or its end.
    pub(in crate::hyper::http1) fn poll_client(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.connection.client() {
            ClientEnd::Open => self.wire.poll_ahead(cx),
            ClientEnd::Closed if self.asks_client(cx) => self.wire.poll_gone(cx),
            _ => Poll::Pending,
        }
    }

    /// Whether somebody wants to know if a client that has closed its side is gone, and it may be asked: there is no
    /// byte of an answer yet, and it knows interim ones.
    fn asks_client(&self, cx: &Context<'_>) -> bool {
        let in_flight = self.in_flight.borrow();
        match in_flight.front() {
            Some(request) if in_flight.len() == 1 => {
                let is_wanted =
                    || self.when_gone == WhenGone::Drop || request.exchange.is_client_watched(cx);
                request.is_http11 && request.status.is_none() && is_wanted()
            }
            _ => false,
        }
    }

    /// Whether what is in flight is for nobody, and to be dropped.
    pub(in crate::hyper::http1) fn is_for_nobody(&self) -> bool {
        let drops = self.when_gone != WhenGone::WorkOn || self.connection.draining();
        drops && self.connection.client() == ClientEnd::Gone && self.is_answering()
    }

    /// The conversation is over. What it leaves of a client that is gone was dropped.
    pub(in crate::hyper::http1) fn note_dropped(&self) {
        if self.connection.client() != ClientEnd::Gone {
            return;
        }
        for request in self.in_flight.borrow().iter().filter(|it| it.handed_over.is_none()) {
            self.connection.count_dropped();
            let (name, peer) = (self.connection.context().name(), self.connection.peer());
            debug!(
                target: LOG, service = name, peer:%, request:% = request.line;
                "{name}: {peer} is gone, {} was dropped", request.line
            );
        }
    }

    /// At the deadline: tells the client that its request was not answered, if there is no byte of an answer yet and
    /// it takes the words without waiting. Tells whether it was told.
    pub(in crate::hyper::http1) fn say_last_word(&self, words: &str, cx: &mut Context<'_>) -> bool {
        let mut in_flight = self.in_flight.borrow_mut();
        let is_owed = in_flight.len() == 1 && in_flight[0].status.is_none();
        if !is_owed {
            return false;
        }
        let told = self.wire.say(words.as_bytes(), cx);
        // The socket may have taken a part of it.
        self.connection.count_sent(self.wire.news().sent);
        if !told {
            return false;
        }
        if let Some(mut request) = in_flight.pop_front() {
            request.status = Some(StatusCode::SERVICE_UNAVAILABLE);
            self.is_answered(request);
        }
        true
    }
}
