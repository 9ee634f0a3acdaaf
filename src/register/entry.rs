//! One open connection in the books: what it is doing, since when, and for how long it may.

use std::cell::{Cell, OnceCell};
use std::fmt::Display;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use super::asking::{Asked, Asking};
use super::per_peer::Seat;
use super::span::Span;
use super::state::{ClientEnd, ConnectionStatus, State, Waiting};
use crate::net::Peer;
use crate::shutdown::Phase;
use crate::words::printable;

/// How long a half-sent request head may take to arrive once the drain has begun.
pub(crate) const HEAD_GRACE: Duration = Duration::from_secs(2);

/// What the register knows of one connection.
pub(crate) struct Entry {
    /// Its place in the register. As small as can be: each open connection has an entry.
    key: u32,
    peer: Peer,
    /// In a box, since most connections have none.
    seat: OnceCell<Box<Seat>>,
    accepted: Instant,
    state: Cell<State>,
    since: Cell<Instant>,
    limit: Cell<Limit>,
    /// What it waits for within its state; `None` is the handler.
    waiting: Cell<Option<Waiting>>,
    received: Cell<u64>,
    sent: Cell<u64>,
    /// What it was doing when the cause came.
    at_cause: Cell<Option<State>>,
    /// Whether it did any work after the drain began.
    worked_in_drain: Cell<bool>,
    asked: Cell<Asked>,
    client: Cell<ClientEnd>,
    cut_off: Cell<bool>,
    /// The request in flight, such as `GET /slow`.
    request: Cell<Option<Arc<dyn Display>>>,
    waker: Cell<Option<Waker>>,
}

/// The time limit of what a connection is doing.
#[derive(Clone, Copy)]
enum Limit {
    None,
    Until(Instant),
    Passed,
}

impl Limit {
    fn at_most(self, at: Instant) -> Limit {
        match self {
            Limit::None => Limit::Until(at),
            Limit::Until(limit) => Limit::Until(limit.min(at)),
            Limit::Passed => Limit::Passed,
        }
    }
}

impl Entry {
    pub(super) fn new(key: u32, peer: Peer, seat: Option<Box<Seat>>, now: Instant) -> Entry {
        Entry {
            key,
            peer,
            seat: seat.map_or_else(OnceCell::new, OnceCell::from),
            accepted: now,
            state: Cell::new(State::New),
            since: Cell::new(now),
            limit: Cell::new(Limit::None),
            waiting: Cell::new(None),
            received: Cell::new(0),
            sent: Cell::new(0),
            at_cause: Cell::new(None),
            worked_in_drain: Cell::new(false),
            asked: Cell::new(Asked::Nothing),
            client: Cell::new(ClientEnd::Open),
            cut_off: Cell::new(false),
            request: Cell::new(None),
            waker: Cell::new(None),
        }
    }

    pub(super) fn key(&self) -> usize {
        self.key as usize
    }

    /// Whose connection it is: its peer's, or that of the client for whom the peer has passed it on.
    pub(crate) fn peer(&self) -> &Peer {
        self.seat.get().and_then(|seat| seat.client()).unwrap_or(&self.peer)
    }

    /// Notes whose connection it is; the first time counts. False if they have as many as they may have.
    pub(crate) fn set_peer(&self, client: Peer) -> bool {
        self.seat.get_or_init(Box::default).belongs_to(client)
    }

    pub(crate) fn accepted(&self) -> Instant {
        self.accepted
    }

    pub(crate) fn state(&self) -> State {
        self.state.get()
    }

    /// When the state last changed.
    pub(crate) fn since(&self) -> Instant {
        self.since.get()
    }

    pub(crate) fn worked_in_drain(&self) -> bool {
        self.worked_in_drain.get()
    }

    /// Notes what the connection is doing now, and how long it may do it; `None` is for ever.
    pub(crate) fn set_state(
        &self,
        state: State,
        time: Option<Duration>,
        phase: Phase,
        now: Instant,
    ) {
        self.state.set(state);
        self.since.set(now);
        if !state.is_in_flight() {
            // An idle connection should cost as little memory as possible.
            drop(self.request.take());
        } else if phase >= Phase::Draining {
            self.worked_in_drain.set(true);
        }
        self.set_limit(time, phase, now);
    }

    /// Gives the connection so long from now.
    pub(crate) fn set_limit(&self, time: Option<Duration>, phase: Phase, now: Instant) {
        self.set_limit_at(time.and_then(|time| now.checked_add(time)), phase);
    }

    /// Gives the connection until `at`; `None` is for ever.
    pub(crate) fn set_limit_at(&self, at: Option<Instant>, phase: Phase) {
        let limit = at.map_or(Limit::None, Limit::Until);
        let hurries = phase >= Phase::Draining && self.state.get() == State::Head;
        self.limit.set(match hurries {
            true => limit.at_most(self.since.get() + HEAD_GRACE),
            false => limit,
        });
    }

    #[cfg(feature = "hyper")]
    pub(crate) fn set_since(&self, since: Instant) {
        self.since.set(since);
    }

    /// Whether the time limit last set has passed.
    pub(crate) fn limit_has_passed(&self) -> bool {
        matches!(self.limit.get(), Limit::Passed)
    }

    /// Has the task of `cx` woken when the drain begins or the limit passes: the last that asked.
    pub(crate) fn wake_on_change(&self, cx: &Context<'_>) {
        let waker = match self.waker.take() {
            Some(waker) if waker.will_wake(cx.waker()) => waker,
            _ => cx.waker().clone(),
        };
        self.waker.set(Some(waker));
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Notes the request in flight.
    pub(crate) fn set_request(&self, request: Arc<dyn Display>) {
        self.request.set(Some(request));
    }

    /// Looks at the request in flight. (What is in a cell can only be looked at when it is out of it.)
    pub(crate) fn with_request<T>(&self, look: impl FnOnce(Option<&dyn Display>) -> T) -> T {
        let request = self.request.take();
        let seen = look(request.as_deref());
        self.request.set(request);
        seen
    }

    fn request(&self) -> String {
        self.with_request(|it| it.map(|it| printable(&it.to_string())).unwrap_or_default())
    }

    /// Notes what is waited for, and tells what was noted before.
    pub(crate) fn wait_for(&self, waiting: Option<Waiting>) -> Option<Waiting> {
        self.waiting.replace(waiting)
    }

    pub(crate) fn waits_for(&self) -> Option<Waiting> {
        self.waiting.get()
    }

    pub(crate) fn count_received(&self, bytes: u64) {
        self.received.set(self.received.get() + bytes);
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.get()
    }

    pub(crate) fn count_sent(&self, bytes: u64) {
        self.sent.set(self.sent.get() + bytes);
    }

    /// The cause to stop has come.
    pub(super) fn note_cause(&self) {
        self.at_cause.set(Some(self.state.get()));
    }

    /// The drain has begun.
    pub(super) fn begin_drain(&self, now: Instant) {
        let state = self.state.get();
        self.worked_in_drain.set(state.is_in_flight());
        if state == State::Head {
            self.limit.set(self.limit.get().at_most(now + HEAD_GRACE));
        }
        self.wake();
    }

    /// Whether the client should be sent elsewhere, though the run may go on.
    pub(crate) fn is_asked_to_leave(&self) -> bool {
        self.asked.get() >= Asked::ToLeave
    }

    /// Whether it should close when it has nothing in flight, though the drain has not begun.
    pub(crate) fn is_asked_to_close(&self) -> bool {
        self.asked.get() == Asked::ToClose
    }

    pub(crate) fn client(&self) -> ClientEnd {
        self.client.get()
    }

    /// Notes what is known of the client's end. It is never less than before: after a reset, a read can find an
    /// end like any other.
    pub(crate) fn note_client(&self, client: ClientEnd) {
        self.client.set(self.client.get().max(client));
    }

    /// Whether its time is over: what its client is not told in this turn of the loop, it is not told.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.cut_off.get()
    }

    pub(super) fn cut_off(&self) {
        self.cut_off.set(true);
        self.wake();
    }

    /// Asks what is due by now. Returns when the next is due, if there is more to ask.
    pub(super) fn ask(&self, asking: &Asking, now: Instant) -> Option<Instant> {
        let (asked, next) = asking.at(now, self.accepted, || (self.key, &self.peer));
        if asked > self.asked.get() {
            self.asked.set(asked);
            self.wake();
        }
        next
    }

    /// Wakes the connection if its limit has passed. Returns when it will, if it has not.
    pub(super) fn expire(&self, now: Instant) -> Option<Instant> {
        match self.limit.get() {
            Limit::Until(at) if at <= now => {
                self.limit.set(Limit::Passed);
                self.wake();
                None
            }
            Limit::Until(at) => Some(at),
            Limit::None | Limit::Passed => None,
        }
    }

    pub(super) fn status(&self, now: Instant) -> ConnectionStatus {
        ConnectionStatus {
            peer: self.peer().clone(),
            state: self.state.get(),
            age: now.saturating_duration_since(self.accepted),
            in_state: now.saturating_duration_since(self.since.get()),
            request: self.request(),
            received: self.received.get(),
            sent: self.sent.get(),
            waits_for: match self.state.get() {
                State::New | State::Idle | State::Head => Waiting::Head,
                State::Active => self.waiting.get().unwrap_or(Waiting::Handler),
                State::Upgraded => Waiting::Handler,
                State::Closing => Waiting::Close,
            },
            client: self.client.get(),
        }
    }

    pub(super) fn span(&self, now: Instant, cut_off: bool) -> Span {
        Span {
            peer: self.peer().clone(),
            accepted: self.accepted,
            at_cause: self.at_cause.get(),
            ended: now,
            cut_off,
            request: self.request(),
        }
    }
}
