//! One connection's conversation, driven to its end: what it is doing, its time limits, the drain.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::hyper::body::Incoming;
use ::hyper::rt::Write;
use ::hyper::{Method, Request, Uri};

use super::answer::Asked;
use super::io::{Io, Wire};
use super::{Exchange, Limits};
use crate::clock::Sleep;
use crate::net::Stream;
use crate::register::HEAD_GRACE;
use crate::register::State;
use crate::server::Connection;

/// How long a connection lingers after its last answer.
const LINGER: Duration = Duration::from_millis(500);

const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// How a conversation ended.
pub(super) enum End {
    Closed,
    HeadTooSlow,
}

/// What goes on on one connection.
pub(super) struct Talk {
    pub(super) connection: Connection,
    pub(super) exchange: Exchange,
    pub(super) is_http2: Cell<bool>,
    wire: Wire,
    limits: Limits,
    /// Requests in flight.
    in_flight: Cell<usize>,
    /// Requests so far.
    asked: Cell<u64>,
    latest: RefCell<Option<(Method, Uri)>>,
}

impl Talk {
    pub(super) fn new(connection: Connection, wire: Wire, limits: Limits) -> Rc<Talk> {
        let told = (connection.peer().clone(), connection.shutdown().clone());
        Rc::new(Talk {
            connection,
            exchange: Exchange(Arc::new(told)),
            is_http2: Cell::new(false),
            wire,
            limits,
            in_flight: Cell::new(0),
            asked: Cell::new(0),
            latest: RefCell::new(None),
        })
    }

    /// A request head has arrived.
    pub(super) fn begin(self: Rc<Self>, request: &Request<Incoming>) -> Asked {
        self.in_flight.set(self.in_flight.get() + 1);
        self.asked.set(self.asked.get() + 1);
        *self.latest.borrow_mut() = Some((request.method().clone(), request.uri().clone()));
        self.wire.forget();
        Asked::new(self)
    }

    /// A request's answer has been handed to hyper to its last byte, or given up.
    pub(super) fn end(&self) {
        self.in_flight.set(self.in_flight.get() - 1);
        // What has come meanwhile was the request's body.
        self.wire.forget();
    }

    /// Whether an answer that is ready now should say `Connection: close`. hyper says so by itself
    /// only if it is told before.
    pub(super) fn is_last(&self) -> bool {
        self.connection.leaving() && !self.is_http2.get()
    }

    /// Drives a conversation to its end. Once the drain has begun, or it was idle for too long, it is
    /// told so by `say_goodbye`; but only after hyper has looked for bytes once more.
    pub(super) async fn drive<C>(
        &self,
        mut conversation: Pin<&mut C>,
        say_goodbye: fn(Pin<&mut C>),
    ) -> io::Result<End>
    where
        C: Future<Output = ::hyper::Result<()>>,
    {
        let mut told = false;
        let mut noted = Noted::default();
        let mut patience = Patience::default();
        poll_fn(|cx| {
            loop {
                // Before the poll, or news that comes with it would wake nobody.
                self.connection.wake_on_change(cx);
                let over = self.connection.draining() || self.connection.expired();
                if over && !told {
                    self.wire.look();
                }
                let polled = conversation.as_mut().poll(cx);
                let (received, sent) = self.wire.take_bytes();
                self.connection.count_received(received);
                self.connection.count_sent(sent);
                if let Poll::Ready(ended) = polled {
                    return Poll::Ready(ended.map(|()| End::Closed).map_err(io::Error::other));
                }
                let state = self.note_state(&mut noted);
                if state == State::Head && self.connection.expired() {
                    return Poll::Ready(Ok(End::HeadTooSlow));
                }
                if state == State::Active && self.connection.expired() {
                    // The client takes nothing of its answer.
                    return Poll::Ready(Ok(End::Closed));
                }
                if over && !told && state != State::Head {
                    told = true;
                    say_goodbye(conversation.as_mut());
                    continue;
                }
                let waits_for_peer = match state {
                    State::Closing => Some(LINGER),
                    State::Idle if told => Some(HEAD_GRACE),
                    _ => None,
                };
                let sleep = |limit| -> Sleep {
                    let context = self.connection.context().clone();
                    Box::pin(async move { context.sleep_in_time(limit).await })
                };
                return patience.poll(waits_for_peer, sleep, cx).map(|()| Ok(End::Closed));
            }
        })
        .await
    }

    /// Finds out what the connection is doing, and puts it on the books if that is news.
    fn note_state(&self, noted: &mut Noted) -> State {
        let now = Noted { asked: self.asked.get(), blocked_after: self.wire.blocked_after() };
        let (state, limit) = match self.in_flight.get() {
            _ if self.wire.is_closing() => (State::Closing, None),
            _ if now.blocked_after.is_some() => (State::Active, Some(self.limits.answer)),
            1.. => (State::Active, None),
            0 if self.wire.has_received() && !self.is_http2.get() => {
                (State::Head, Some(self.limits.head))
            }
            0 => (State::Idle, Some(self.limits.idle)),
        };
        let connection = &self.connection;
        // The time of a head runs from its first byte.
        if state != connection.state() || (state != State::Head && now != *noted) {
            connection.set_state(state, limit);
            if let (State::Active, Some((method, uri))) = (state, &*self.latest.borrow()) {
                connection.set_request(Arc::new(format!("{method} {}", uri.path())));
            }
            *noted = now;
        }
        state
    }

    /// Answers a request whose head did not arrive in time.
    pub(super) async fn refuse_slow_head<S: Stream>(&self, mut io: Io<S>) -> io::Result<()> {
        self.connection.set_state(State::Closing, None);
        let refuse = async {
            // The socket's buffer is empty, or there would be an answer in flight: it fits at once.
            poll_fn(|cx| Pin::new(&mut io).poll_write(cx, TOO_SLOW)).await?;
            poll_fn(|cx| Pin::new(&mut io).poll_shutdown(cx)).await
        };
        let long_enough = async {
            self.connection.context().sleep_in_time(LINGER).await;
            Ok(())
        };
        futures_lite::future::or(refuse, long_enough).await
    }

    /// Keeps the connection on the books for as long as the handler has its stream.
    pub(super) async fn upgraded(&self) {
        self.connection.set_state(State::Upgraded, None);
        self.wire.closed().await;
    }
}

/// What was known of a conversation when its state was last put on the books.
#[derive(Default, PartialEq)]
struct Noted {
    asked: u64,
    blocked_after: Option<u64>,
}

/// How long the peer is waited for, when it is only the peer.
#[derive(Default)]
struct Patience {
    sleep: Option<(Duration, Sleep)>,
}

impl Patience {
    fn poll(
        &mut self,
        limit: Option<Duration>,
        sleep: impl Fn(Duration) -> Sleep,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        match limit {
            Some(limit) if self.sleep.as_ref().is_none_or(|(current, _)| *current != limit) => {
                self.sleep = Some((limit, sleep(limit)));
            }
            Some(_) => {}
            None => self.sleep = None,
        }
        match &mut self.sleep {
            Some((_, sleep)) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}
