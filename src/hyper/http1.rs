//! HTTP/1.1, with hyper as the engine: one connection's conversation, its limits, the drain.
//!
//! hyper asks for the next part of an answer when it has room for it, and does not tell when the client
//! has taken the last one. But it flushes what it has written: an answer is over with the first flush
//! after its last part was handed over.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use ::hyper::body::{Body, Incoming};
use ::hyper::header::{CONNECTION, HeaderValue};
use ::hyper::server::conn::http1::{Builder, UpgradeableConnection};
use ::hyper::service::{HttpService, service_fn};
use ::hyper::{Method, Request, Response, StatusCode, Uri};
use futures_lite::{AsyncWriteExt, future};

use super::answer::{self, Answers};
use super::body::{self, RequestBody, Upload};
use super::content::Content;
use super::exchange::Exchange;
use super::io::{Io, News, Wire, io};
use super::limits::Limits;
use super::opening::Opening;
use super::runtime::Timer;
use super::{Hyper, HyperError};
use crate::connection::{Connection, State, Waiting};
use crate::linger::linger;
use crate::net::Stream;

const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// How much is read before the other tasks get a turn, in bytes.
const FAIR: usize = 128 * 1024;

/// Serves one connection to its end.
pub(super) async fn converse<T: Stream, S: Answers>(
    hyper: Rc<Hyper<S>>,
    stream: T,
    opening: Opening,
    connection: Connection,
) -> io::Result<()> {
    let (io, wire) = io(stream, opening);
    let talk = Rc::new(Talk::new(connection, wire, hyper.limits.clone()));
    let mut builder = Builder::new();
    // The head's time is kept by the connection's limit, without a timer for each request. And a client
    // that has sent all that it will send may close its side and wait for the answer.
    builder.timer(Timer).header_read_timeout(None).half_close(true);
    (hyper.http1)(&mut builder);
    let service = {
        let talk = talk.clone();
        service_fn(move |request| answer(hyper.clone(), talk.clone(), request))
    };
    let mut conversation = builder.serve_connection(io, service).with_upgrades();
    // The opening is on the books as part of a head, and so is its time.
    let mut noted = Noted { doing: (0, Doing::Head), told: false };
    let end = poll_fn(|cx| talk.poll(Pin::new(&mut conversation), &mut noted, cx)).await;
    if conversation.into_parts().is_none() {
        talk.upgraded().await;
        return Ok(());
    }
    // The engine is gone, and all that it held of this with it.
    let Some(Talk { connection, wire, .. }) = Rc::into_inner(talk) else { return Ok(()) };
    let is_closing = wire.news().is_closing;
    let Some(mut stream) = wire.into_stream() else { return Ok(()) };
    let ended = match end {
        Ok(End::HeadTooSlow) => {
            // The socket's buffer is empty, or there would be an answer in flight: it fits at once.
            future::poll_once(stream.write_all(TOO_SLOW)).await;
            connection.count_sent(TOO_SLOW.len());
            Ok(())
        }
        ended if is_closing => ended.map(|_| ()),
        ended => return ended.map(|_| ()),
    };
    Box::pin(linger(stream, connection)).await.and(ended)
}

/// Has the service answer one request.
async fn answer<T: Stream, S: Answers>(
    hyper: Rc<Hyper<S>>,
    talk: Rc<Talk<T>>,
    request: Request<Incoming>,
) -> Result<Response<Content<S::Content, T>>, S::Error> {
    let (request, upload) = talk.begin(request);
    let asked = answer::ask(&hyper.service, request, &upload, &talk.connection, &hyper.date);
    let mut response = asked.await?;
    let status = response.status();
    if talk.is_last() && status != StatusCode::SWITCHING_PROTOCOLS {
        // hyper says so by itself only if it was told before.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    talk.note_status(status);
    Ok(Content::of(response, talk))
}

/// How a conversation ended.
enum End {
    Closed,
    HeadTooSlow,
}

/// What goes on on one connection.
pub(super) struct Talk<T> {
    pub(super) connection: Connection,
    wire: Wire<T>,
    limits: Limits,
    exchange: Exchange,
    /// In the order of their answers; hyper has the service answer one at a time, the last of them.
    in_flight: RefCell<VecDeque<InFlight>>,
    /// Requests so far.
    asked: Cell<u64>,
}

/// A request in flight: from its head until the system has taken the last byte of its answer.
struct InFlight {
    line: (Method, Uri),
    began: Instant,
    status: StatusCode,
    upload: Upload,
    /// After how many flushes all of the answer was hyper's.
    handed_over: Option<u64>,
}

/// What a connection is doing, and for how long it may.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Doing {
    Resting,
    Head,
    Handling,
    /// The handler waits for the client to send more, the how many-th time.
    Body(u64),
    /// The client takes nothing more, after so many writes.
    Answer(u64),
}

/// What was known when the books were last written.
struct Noted {
    /// What the connection was doing, after so many requests.
    doing: (u64, Doing),
    /// Whether hyper was told to come to an end.
    told: bool,
}

impl<T: Stream> Talk<T> {
    fn new(connection: Connection, wire: Wire<T>, limits: Limits) -> Talk<T> {
        let exchange = Exchange::new(&connection);
        // Rarely more than one: it stays with a connection that rests.
        let in_flight = RefCell::new(VecDeque::with_capacity(1));
        let asked = Cell::new(0);
        Talk { connection, wire, limits, exchange, in_flight, asked }
    }

    /// A request head has arrived.
    fn begin(&self, request: Request<Incoming>) -> (Request<RequestBody>, Upload) {
        let (head, body) = request.into_parts();
        let (body, upload) = body::of_http1(body, self.limits.body_size);
        self.in_flight.borrow_mut().push_back(InFlight {
            line: (head.method.clone(), head.uri.clone()),
            began: self.connection.clock().now(),
            status: StatusCode::OK,
            upload: upload.clone(),
            handed_over: None,
        });
        self.asked.set(self.asked.get() + 1);
        if self.connection.draining() {
            // It is work of the drain, even if it is over before the books are written.
            self.connection.set_state(State::Active, None);
        }
        let mut request = Request::from_parts(head, body);
        request.extensions_mut().insert(self.exchange.clone());
        (request, upload)
    }

    fn note_status(&self, status: StatusCode) {
        if let Some(request) = self.in_flight.borrow_mut().back_mut() {
            request.status = status;
        }
    }

    /// Whether an answer that is ready now should say `Connection: close`.
    fn is_last(&self) -> bool {
        self.connection.leaving() || self.asked.get() >= self.limits.requests
    }

    /// All of the answer is hyper's. It is over when that is written.
    pub(super) fn hand_over(&self) {
        // What has come meanwhile was the request's body.
        let flushes = self.wire.forget();
        if let Some(request) = self.in_flight.borrow_mut().back_mut() {
            request.handed_over = Some(flushes);
        }
    }

    /// Moves the conversation on. Once the drain has begun, or the connection was idle for too long,
    /// hyper is told to come to an end; but only after it has looked for bytes once more.
    fn poll<S, B>(
        &self,
        mut conversation: Pin<&mut UpgradeableConnection<Io<T>, S>>,
        noted: &mut Noted,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<End>>
    where
        S: HttpService<Incoming, ResBody = B>,
        S::Error: Into<HyperError>,
        B: Body + 'static,
        B::Error: Into<HyperError>,
    {
        self.wire.begin_turn(FAIR);
        loop {
            // Before the engine is polled, or news that comes with it would wake nobody.
            self.connection.wake_on_news(cx);
            let expired = self.connection.expired();
            let rested = noted.doing.1 == Doing::Resting;
            let over = self.connection.draining() || (expired && rested);
            if over && !noted.told {
                self.wire.look();
            }
            let polled = conversation.as_mut().poll(cx);
            let news = self.take_news();
            if let Poll::Ready(ended) = polled {
                return Poll::Ready(ended.map(|()| End::Closed).map_err(io::Error::other));
            }
            let doing = self.doing(&news, cx);
            if expired && noted.doing == (self.asked.get(), doing) {
                match doing {
                    Doing::Head => return Poll::Ready(Ok(End::HeadTooSlow)),
                    Doing::Answer(_) => return Poll::Ready(Ok(End::Closed)),
                    Doing::Body(_) => {
                        self.connection.limit_at(None);
                        self.in_flight.borrow().back().inspect(|it| it.upload.time_out());
                        continue;
                    }
                    Doing::Resting | Doing::Handling => {}
                }
            }
            if over && !noted.told && doing != Doing::Head {
                noted.told = true;
                conversation.as_mut().graceful_shutdown();
                continue;
            }
            self.note(doing, noted);
            let is_answering = !self.in_flight.borrow().is_empty();
            match is_answering.then(|| self.wire.poll_ahead(cx)) {
                Some(Poll::Ready(read)) => read?,
                _ => return Poll::Pending,
            }
        }
    }

    /// Takes note of what was read and written, and of the answers that are over with it.
    fn take_news(&self) -> News {
        let news = self.wire.news();
        self.connection.count_received(news.received);
        self.connection.count_sent(news.sent);
        let mut in_flight = self.in_flight.borrow_mut();
        let is_over = |it: &InFlight| it.handed_over.is_some_and(|after| news.flushes > after);
        while in_flight.front().is_some_and(is_over) {
            let Some(request) = in_flight.pop_front() else { break };
            let now = self.connection.clock().now();
            let took = now.saturating_duration_since(request.began);
            self.connection.count_answer(request.status.as_u16(), took);
        }
        news
    }

    /// What the connection is doing now.
    fn doing(&self, news: &News, cx: &Context<'_>) -> Doing {
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
    fn note(&self, doing: Doing, noted: &mut Noted) {
        let before = std::mem::replace(&mut noted.doing, (self.asked.get(), doing));
        if before == noted.doing {
            return;
        }
        let limits = &self.limits;
        let (state, waits_for, limit) = match doing {
            Doing::Resting => (State::Idle, None, Some(limits.idle)),
            Doing::Head => (State::Head, None, Some(limits.head_time)),
            Doing::Handling => (State::Active, None, None),
            Doing::Body(_) => (State::Active, Some(Waiting::Body), Some(limits.body_time)),
            Doing::Answer(_) => (State::Active, Some(Waiting::Answer), Some(limits.answer_time)),
        };
        let connection = &self.connection;
        let is_another = before.0 != noted.doing.0;
        connection.wait_for(waits_for);
        match limit {
            _ if is_another || state != connection.state() => connection.set_state(state, limit),
            Some(limit) => connection.set_limit(limit),
            None => connection.limit_at(None),
        }
        if let (State::Active, Some(oldest)) = (state, self.in_flight.borrow().front()) {
            connection.set_since(oldest.began);
            let (method, uri) = &oldest.line;
            connection.set_request(format_args!("{method} {}", uri.path()));
        }
    }

    /// Keeps the connection on the books for as long as the handler has its stream.
    async fn upgraded(&self) {
        self.connection.set_state(State::Upgraded, None);
        self.wire.closed().await;
    }
}
