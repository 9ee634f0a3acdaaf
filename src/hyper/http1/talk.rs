//! What goes on on one connection over HTTP/1.1: the requests in flight, and what the books say of them.
//!
//! hyper asks for the next part of an answer when it has room for it, and does not tell when the client
//! has taken the last one. But it flushes what it has written: an answer is over with the first flush
//! after its last part was handed over.

mod pacing;
mod parting;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use ::hyper::body::{Body, Incoming};
use ::hyper::{Request, StatusCode, Version};

use super::paces::Paces;
use crate::hyper::body::{self, RequestBody, Upload};
use crate::hyper::io::{News, Wire};
use crate::hyper::request::Line;
use crate::hyper::settings::WhenGone;
use crate::net::Stream;
use crate::register::{ClientEnd, State, Waiting};
use crate::server::Connection;
use crate::web::{self, Exchange, Exchanges, Limits};

/// How many requests of its pipeline a connection is answered after it should have gone: a client that always has
/// one more is not served to the deadline.
const MAX_MORE: u16 = 1_000;

/// What goes on on one connection.
pub(super) struct Talk<T> {
    pub(super) connection: Connection,
    pub(super) wire: Wire<T>,
    limits: Rc<Limits>,
    /// In the order of their answers; hyper has the service answer one at a time, the last of them.
    in_flight: RefCell<VecDeque<InFlight>>,
    /// Requests so far.
    asked: Cell<u64>,
    /// Bytes written of the first answer in flight.
    sent: Cell<u64>,
    /// Requests that were in the pipeline when the client should have gone.
    more: Cell<u16>,
    /// Whether hyper has to be polled once more: it asks a body that is not ready a second time. If that
    /// ends the answer, hyper (1.12) forgets to look for the next request, which may be here.
    pub(super) look_again: Cell<bool>,
    /// Whether what comes at the next poll is no head, but what a service has left of a body: hyper reads
    /// that once, and closes the connection if it is not all.
    rest_comes: Cell<bool>,
    when_gone: WhenGone,
}

/// A request in flight: from its head until the system has taken the last byte of its answer.
struct InFlight {
    line: Arc<Line>,
    exchange: Exchange,
    began: Instant,
    is_http11: bool,
    /// `None` until the service has answered.
    status: Option<StatusCode>,
    upload: Upload,
    paces: Option<Box<Paces>>,
    /// Bytes of the answer's content.
    content: u64,
    /// After how many flushes all of the answer was hyper's.
    handed_over: Option<u64>,
}

impl InFlight {
    fn paces(&mut self, limits: &Limits) -> &mut Paces {
        self.paces.get_or_insert_with(|| Box::new(Paces::new(limits)))
    }
}

/// What a connection is doing, and for how long it may.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Doing {
    Resting,
    Head,
    Handling,
    /// The handler waits for the client to send more, the how many-th time.
    Body(u64),
    /// The client takes nothing more, after so many writes.
    Answer(u64),
}

/// What was known when the books were last written.
pub(super) struct Noted {
    /// What the connection was doing, after so many requests.
    pub(super) doing: (u64, Doing),
    /// Whether hyper was told to come to an end.
    pub(super) told: bool,
}

impl<T: Stream> Talk<T> {
    pub(super) fn new(
        connection: Connection,
        wire: Wire<T>,
        limits: Rc<Limits>,
        when_gone: WhenGone,
    ) -> Talk<T> {
        Talk {
            connection,
            wire,
            limits,
            // Rarely more than one: it stays with a connection that rests.
            in_flight: RefCell::new(VecDeque::with_capacity(1)),
            asked: Cell::new(0),
            sent: Cell::new(0),
            more: Cell::new(0),
            look_again: Cell::new(false),
            rest_comes: Cell::new(false),
            when_gone,
        }
    }

    /// A request head has arrived.
    pub(super) fn begin(
        &self,
        request: Request<Incoming>,
        exchanges: &Exchanges,
    ) -> (Request<RequestBody>, Upload) {
        let line = Arc::new(Line::of(&request));
        let (head, body) = request.into_parts();
        self.wire.expect_body(body.size_hint().exact());
        let (body, upload) = body::of_http1(body, self.limits.body_size);
        self.connection.turns_to(&*line);
        let exchange = exchanges.exchange(&self.connection, line.clone());
        self.in_flight.borrow_mut().push_back(InFlight {
            line,
            exchange: exchange.clone(),
            began: self.connection.clock().now(),
            is_http11: head.version == Version::HTTP_11,
            status: None,
            upload: upload.clone(),
            paces: None,
            content: 0,
            handed_over: None,
        });
        self.asked.set(self.asked.get() + 1);
        if self.connection.draining() {
            // It is work of the drain, even if it is over before the books are written.
            self.connection.set_state(State::Active, None);
        }
        let mut request = Request::from_parts(head, body);
        request.extensions_mut().insert(exchange);
        (request, upload)
    }

    /// The service has answered.
    pub(super) fn note_status(&self, status: StatusCode) {
        if let Some(request) = self.in_flight.borrow_mut().back_mut() {
            request.status = Some(status);
        }
    }

    /// Whether an answer that is ready now should say `Connection: close`.
    pub(super) fn is_last(&self, cx: &mut Context<'_>) -> bool {
        if self.asked.get() >= self.limits.requests {
            return true;
        }
        if !self.connection.leaving() {
            return false;
        }
        let more = self.more.replace(self.more.get().saturating_add(1));
        more >= MAX_MORE || !self.wire.next_has_arrived(cx)
    }

    /// Counts bytes of an answer's content.
    pub(super) fn count_content(&self, bytes: usize) {
        if let Some(request) = self.in_flight.borrow_mut().back_mut() {
            request.content += bytes as u64;
        }
    }

    /// All of the answer is hyper's. It is over when that is written.
    pub(super) fn hand_over(&self) {
        // What has come meanwhile was the request's body.
        let flushes = self.wire.forget();
        if let Some(request) = self.in_flight.borrow_mut().back_mut() {
            request.handed_over = Some(flushes);
        }
    }

    /// Takes note of what was read and written, and of the answers that are over with it.
    pub(super) fn take_news(&self) -> News {
        let mut news = self.wire.news();
        self.connection.count_received(news.received);
        self.connection.count_sent(news.sent);
        self.sent.set(self.sent.get() + news.sent as u64);
        let rest_comes = self.rest_comes.take();
        let mut in_flight = self.in_flight.borrow_mut();
        let is_over = |it: &InFlight| it.handed_over.is_some_and(|after| news.flushes > after);
        while in_flight.front().is_some_and(is_over) {
            let Some(request) = in_flight.pop_front() else { break };
            self.rest_comes.set(request.upload.is_left());
            self.is_answered(request);
            // Another answer may have begun already, whose end is the close.
            if in_flight.is_empty() {
                self.wire.reset_on_close(false);
            }
        }
        if in_flight.is_empty() && news.has_received && (rest_comes || self.rest_comes.get()) {
            self.wire.forget();
            news.has_received = false;
        }
        if news.client != self.connection.client() {
            self.connection.note_client(news.client);
            if news.client == ClientEnd::Gone {
                in_flight.iter().for_each(|request| request.exchange.note_client_gone());
            }
        }
        news
    }

    fn is_answered(&self, request: InFlight) {
        let took = self.connection.clock().now().saturating_duration_since(request.began);
        let status = request.status.unwrap_or_default().as_u16();
        web::count_answer(&self.connection, &*request.line, status, request.content, took);
        self.sent.set(0);
    }

    /// What the connection is doing now.
    pub(super) fn doing(&self, news: &News, cx: &Context<'_>) -> Doing {
        let in_flight = self.in_flight.borrow();
        // The body is taken care of in any case.
        let body = in_flight.back().and_then(|request| request.upload.tend(cx));
        match in_flight.len() {
            _ if news.is_blocked => Doing::Answer(news.writes),
            0 if news.has_received => Doing::Head,
            0 => Doing::Resting,
            _ => body.map_or(Doing::Handling, Doing::Body),
        }
    }

    /// Puts on the books what the connection is doing, if that is news.
    pub(super) fn note(&self, doing: Doing, noted: &mut Noted) {
        let before = std::mem::replace(&mut noted.doing, (self.asked.get(), doing));
        if before == noted.doing {
            return;
        }
        let limits = &self.limits;
        let is_another = before.0 != noted.doing.0;
        let (state, waits_for, limit) = match doing {
            Doing::Resting => (State::Idle, None, Some(limits.idle)),
            Doing::Head => (State::Head, None, Some(limits.head_time)),
            Doing::Handling => (State::Active, None, None),
            Doing::Body(_) => (State::Active, Some(Waiting::Body), Some(limits.body_time)),
            Doing::Answer(_) => (State::Active, Some(Waiting::Answer), Some(limits.answer_time)),
        };
        let connection = &self.connection;
        connection.wait_for(waits_for);
        match limit {
            _ if is_another || state != connection.state() => connection.set_state(state, limit),
            Some(limit) => connection.set_limit(limit),
            None => connection.set_limit_at(None),
        }
        self.pace(before.1, doing);
        if let (State::Active, Some(oldest)) = (state, self.in_flight.borrow().front()) {
            connection.set_since(oldest.began);
            connection.note_request(oldest.line.clone());
        }
    }

    /// How many requests there were.
    pub(super) fn asked(&self) -> u64 {
        self.asked.get()
    }

    pub(super) fn is_answering(&self) -> bool {
        !self.in_flight.borrow().is_empty()
    }

    /// Has the reader of a body hear that the client took too long.
    pub(super) fn time_body_out(&self) {
        self.connection.set_limit_at(None);
        self.in_flight.borrow().back().inspect(|request| request.upload.time_out());
    }

    /// Keeps the connection on the books for as long as the handler has its stream. To let it go is a clean
    /// end; to be cut off is not.
    pub(super) async fn upgraded(&self) {
        self.connection.set_state(State::Upgraded, None);
        self.wire.reset_on_close(true);
        self.wire.closed().await;
        self.wire.reset_on_close(false);
    }
}
