//! HTTP/2, with h2 as the engine.
//!
//! | file | what lives there |
//! |---|---|
//! | `mod.rs` | a connection's conversation: requests accepted, limits kept, the drain |
//! | `setup.rs` | what h2 is set to; the handshake |
//! | `answering.rs` | one request: the service answers, the answer goes out window by window |
//! | `books.rs` | what the conversation has come to, and what the register is told of it |
//! | `goodbye.rs` | the client told to go, and how long it has for that |
//! | `last_word.rs` | what is said at the deadline |
//! | `in_flight.rs`, `streams.rs` | a request in flight; all of them: what each waits for, and for how long it may |
//! | `blocked.rs` | a socket that takes nothing, and for how long it may |
//! | `framed.rs`, `frames.rs` | the bytes on the wire, watched for the frames that end requests |
//!
//! h2 keeps windows and settings; whatever has to be known of them is known here: an answer waits with
//! us and not in h2's buffers, and is over when the system has taken the frame that ends it.

mod answering;
mod blocked;
mod books;
mod framed;
mod frames;
mod goodbye;
mod in_flight;
mod last_word;
mod setup;
mod streams;

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use ::h2::server::{Connection as Engine, SendResponse};
use ::h2::{Reason, RecvStream};
use ::hyper::Request;
use ::hyper::body::Bytes;
use ::hyper::header::{CONTENT_LENGTH, HeaderMap};

use super::answer::{self, Answers};
use super::body::{self, RequestBody};
use super::io::{News, Wire, io};
use super::opening::Opening;
use super::request::Line;
use super::settings::Hyper;
use crate::net::Stream;
use crate::register::{State, Waiting};
use crate::server::{Connection, linger};
use answering::Answering;
use blocked::Blocked;
use framed::{Framed, Seen};
use goodbye::Goodbye;
use in_flight::InFlight;
use streams::Streams;

/// How much is read before the other tasks get a turn, in bytes: who answers requests takes the bodies that
/// nobody reads out of h2, which gives a connection up that has too many small frames in it.
const FAIR: usize = 16 * 1024;

/// How often it is found out whether a client that has closed its side is still there, as long as something is in
/// flight. Its system refuses the first probe, and the second one shows it.
const PROBE_EVERY: Duration = Duration::from_millis(500);

/// Serves one connection to its end.
pub(super) async fn converse<T: Stream, S: Answers>(
    hyper: Rc<Hyper<S>>,
    stream: T,
    opening: Opening,
    connection: Connection,
) -> io::Result<()> {
    let (io, wire) = io(stream, opening);
    let seen = Rc::new(Seen::default());
    let streams = Streams::new(connection, hyper.limits.clone());
    let mut builder = setup::builder(&hyper.limits);
    (hyper.http2)(&mut builder);
    let handshake = builder.handshake(Framed::new(io, seen.clone()));
    // In a box, which is gone when the connection rests.
    let shaken = Box::pin(setup::shake_hands(handshake, &streams.connection)).await;
    count_bytes(wire.news(), &streams.connection);
    let engine = match shaken {
        Some(Ok(engine)) => engine,
        Some(Err(error)) => return Err(io::Error::other(error)),
        None => return Ok(()),
    };
    let mut conversation = Conversation {
        streams: streams.clone(),
        wire: &wire,
        hyper,
        engine,
        seen,
        held_back: VecDeque::new(),
        asked: 0,
        is_leaving: false,
        goodbye: Goodbye::default(),
        blocked: Blocked::new(&streams.limits),
        noted: Noted::default(),
    };
    let ended = poll_fn(|cx| conversation.poll(cx)).await;
    // What was written last counts too.
    conversation.take_news();
    drop(conversation);
    streams.end_all();
    match wire.news().is_closing.then(|| wire.into_stream()).flatten() {
        Some(stream) => Box::pin(linger(stream, &streams.connection)).await.and(ended),
        None => ended,
    }
}

/// Puts on the books what was read and written.
fn count_bytes(news: News, connection: &Connection) {
    connection.count_received(news.received);
    connection.count_sent(news.sent);
}

/// How long a body is, as the head says it.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A request that h2 has handed over, and whose handler has not been called.
struct Accepted {
    request: Request<RequestBody>,
    in_flight: Rc<InFlight>,
}

/// What goes on on one connection.
struct Conversation<'a, T, S> {
    hyper: Rc<Hyper<S>>,
    engine: Engine<Framed<T>, Bytes>,
    streams: Rc<Streams>,
    wire: &'a Wire<T>,
    seen: Rc<Seen>,
    /// Requests that wait until the client has taken more of the answers before them.
    held_back: VecDeque<Accepted>,
    /// Requests so far.
    asked: u64,
    /// Whether a request has ended since clients are sent elsewhere.
    is_leaving: bool,
    goodbye: Goodbye,
    blocked: Blocked,
    noted: Noted,
}

/// What was known when the books were last written.
#[derive(Default)]
struct Noted {
    /// The oldest request in flight.
    oldest: Option<u32>,
    /// Since when no request is in flight.
    rested: Option<Instant>,
    /// When a client that has closed its side is next asked whether it is there.
    next_probe: Option<Instant>,
}

impl<T: Stream, S: Answers> Conversation<'_, T, S> {
    /// Moves the conversation on. If the connection is to end, or was idle for too long, the client is told to
    /// go away; but only after h2 has looked for bytes once more.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.begin_turn(FAIR);
        loop {
            let connection = self.streams.connection.clone();
            // Before the engine is polled, or news that comes with it would wake nobody.
            connection.wake_on_change(cx);
            self.goodbye.watch(&connection, cx);
            if connection.is_cut_off() {
                return Poll::Ready(self.say_last_word(cx));
            }
            let expired = connection.expired();
            let is_last = self.asked >= self.hyper.limits.requests;
            let ends = connection.is_asked_to_end() || is_last;
            let ends = ends || (expired && self.streams.are_none());
            if ends && !self.goodbye.is_said() {
                self.wire.look();
            }
            let ended = self.poll_engine(cx);
            self.take_news();
            if ended.is_ready() {
                return ended;
            }
            let began = self.begin_answers();
            if expired {
                // The engine has just tried to write: a client that takes a little has made room for that.
                if self.blocked.is_over(self.wire.unreceived(), self.streams.now()) {
                    return Poll::Ready(Ok(()));
                }
                connection.set_limit_at(None);
                if !self.blocked.is() {
                    self.streams.expire();
                }
            }
            if (ends || self.is_leaving) && !self.goodbye.is_said() {
                self.goodbye.say(&mut self.engine, &connection);
            } else if !self.see_end() && !began && !expired {
                self.note_state();
                if self.goodbye.is_over() && connection.state() == State::Idle {
                    return Poll::Ready(self.close(cx));
                }
                return Poll::Pending;
            }
        }
    }

    /// The connection's time is over. What can be sent without waiting still is.
    fn say_last_word(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.streams.for_each(|request| last_word::say(request, &self.hyper.date));
        self.held_back.clear();
        let ended = self.poll_engine(cx);
        self.take_news();
        match ended {
            Poll::Ready(ended) => ended,
            Poll::Pending => self.close(cx),
        }
    }

    /// Ends a connection of which nothing more is to come: a last GOAWAY tells the client which of its requests were
    /// seen. It is written as far as the socket takes it.
    fn close(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.engine.abrupt_shutdown(Reason::NO_ERROR);
        let ended = self.poll_engine(cx);
        self.take_news();
        match ended {
            Poll::Ready(ended) => ended,
            Poll::Pending => Ok(()),
        }
    }

    /// Sees whether the client has closed its side. It may still wait for its answers, or be gone: this is found
    /// out. When nothing is in flight h2 is told. Returns whether h2 has something to do.
    fn see_end(&mut self) -> bool {
        if !self.seen.has_ended_untold() {
            return false;
        }
        if self.streams.are_none() {
            self.seen.tell_end();
            return true;
        }
        let now = self.streams.now();
        match self.noted.next_probe {
            Some(at) if at > now => return false,
            Some(_) => {}
            None => self.streams.note_client_closed(),
        }
        self.noted.next_probe = now.checked_add(PROBE_EVERY);
        self.seen.probe();
        true
    }

    fn poll_engine(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match ready!(self.engine.poll_accept(cx)) {
                Some(Ok((request, respond))) => self.accept(request, respond),
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// A request head has arrived.
    fn accept(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        if self.goodbye.is_over() || self.streams.connection.is_cut_off() {
            return respond.send_reset(Reason::REFUSED_STREAM);
        }
        let line = Arc::new(Line::of(&request));
        let (head, body) = request.into_parts();
        let length = length(&head.headers);
        let (body, upload) = body::of_http2(body, length, self.hyper.limits.body_size);
        let exchange = self.hyper.exchanges.exchange(&self.streams.connection, line.clone());
        let is_grpc = answer::is_grpc(&head.headers);
        let mut request = Request::from_parts(head, body);
        request.extensions_mut().insert(exchange.clone());
        let now = self.streams.now();
        let in_flight =
            InFlight::new(line, is_grpc, exchange, upload, respond, now, &self.streams.limits);
        let in_flight = self.streams.begin(in_flight);
        self.held_back.push_back(Accepted { request, in_flight });
        self.asked += 1;
        self.noted.rested = None;
        let connection = &self.streams.connection;
        if connection.draining() {
            // It is work of the drain, even if it is over before the books are written.
            connection.set_state(State::Active, None);
        }
    }

    /// Has the service answer what has arrived, as far as the client takes the answers that are there.
    /// Returns whether there was anything to do.
    fn begin_answers(&mut self) -> bool {
        let mut began = false;
        while !self.streams.are_held_up() {
            let Some(Accepted { request, in_flight }) = self.held_back.pop_front() else { break };
            in_flight.is_begun.set(true);
            let line = in_flight.line.clone();
            self.streams.connection.turns_to(&*line);
            let answering = Answering::new(self.streams.clone(), in_flight);
            let mut answering = Box::pin(answering.run(self.hyper.clone(), request));
            // An answer that is there at once needs no task of its own.
            let polled = answering.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if polled.is_pending() {
                let cx = self.streams.connection.context();
                cx.member().spawn(cx.register().in_turns(Some(line), answering));
            }
            began = true;
        }
        for Accepted { in_flight, .. } in &self.held_back {
            self.streams.wait(in_flight, Some((Waiting::Answer, 0)));
        }
        began
    }
}
