//! What a conversation has come to, and what the register is told of it.

use std::collections::VecDeque;

use super::Conversation;
use super::blocked::Blocked;
use super::framed::Event;
use super::in_flight::InFlight;
use crate::hyper::answer::Answers;
use crate::net::Stream;
use crate::register::{State, Waiting};

impl<T: Stream, S: Answers> Conversation<'_, T, S> {
    /// Takes note of what was read and written.
    pub(super) fn take_news(&mut self) {
        let news = self.wire.news();
        self.blocked.note_sent(news.sent);
        let after = news.is_blocked.then_some(news.writes);
        if after.is_some() || self.blocked.is() {
            self.blocked.see(after, || self.wire.unreceived(), self.streams.now());
        }
        super::count_bytes(news, &self.streams.connection);
        for (id, event) in self.seen.events.borrow_mut().drain(..) {
            self.streams.note(id, event);
            let is_reset = matches!(event, Event::Reset | Event::Cancelled);
            self.is_leaving |=
                (is_reset || event == Event::Answered) && self.streams.connection.leaving();
            if is_reset {
                self.held_back.retain(|accepted| accepted.in_flight.id != id);
            }
        }
    }

    /// Finds out what the connection is doing, and puts it on the books if that is news.
    pub(super) fn note_state(&mut self) {
        let connection = self.streams.connection.clone();
        let now = connection.clock().now();
        let oldest = self.streams.oldest();
        let state = match oldest.is_some() || self.blocked.is() {
            true => State::Active,
            false => State::Idle,
        };
        let id = oldest.as_ref().map(|request| request.id);
        let rests_again = state == State::Idle && self.noted.rested.is_none();
        if state != connection.state() || id != self.noted.oldest || rests_again {
            connection.set_state(state, None);
            (self.noted.oldest, self.noted.rested) = (id, None);
            if state == State::Idle {
                self.held_back = VecDeque::new(); // a connection that rests needs no room in it
                self.blocked = Blocked::new(&self.streams.limits);
            }
            if let Some(InFlight { began, line, .. }) = oldest.as_deref() {
                connection.set_since(*began);
                connection.note_request(line.clone());
            }
        }
        let waits_for = oldest.as_ref().and_then(|request| request.waits_for());
        let is_blocked = self.blocked.is();
        connection.wait_for(is_blocked.then_some(Waiting::Answer).or(waits_for));
        self.streams.named.set(id.filter(|_| !is_blocked));
        connection.set_limit_at(match state {
            _ if is_blocked => self.blocked.until(),
            State::Active => self.streams.due().into_iter().chain(self.noted.next_probe).min(),
            _ if self.goodbye.is_said() => None,
            _ => self.noted.rested.get_or_insert(now).checked_add(self.hyper.limits.idle),
        });
    }
}
