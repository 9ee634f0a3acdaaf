//! Connections as the supervisor sees them: each service has a [`Register`] in which every open
//! connection has an entry with its peer, its state and the instant it is due.
//!
//! A protocol holds the other end of an entry, a [`Connection`]: it tells the register what the
//! connection is doing, and hears from it when shutdown has begun or when its time is up. One
//! sweep serves the time limits of all connections, so none of them owns a timer.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use async_channel::Sender;
use slab::Slab;

use crate::clock::Clock;
use crate::net::Peer;
use crate::report::{Counts, Snapshot};
use crate::service::Context as ServiceContext;
use crate::shutdown::Shutdown;
use crate::timeline::{Span, Spans};

/// How long a half-sent request head may take to arrive once shutdown has begun.
pub(crate) const HEAD_GRACE: Duration = Duration::from_secs(2);

/// How much memory for the request line an idle connection keeps, in bytes.
const KEPT_REQUEST: usize = 64;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has not sent a byte yet.
    New,
    /// Part of a request head has arrived.
    Head,
    /// A request is being answered.
    Active,
    /// It is between requests.
    Idle,
    /// It was handed to the handler.
    Upgraded,
    /// Its last answer is written; it waits for the peer to have read it.
    Closing,
}

impl State {
    /// Whether work would be lost if the connection were closed now.
    pub fn is_in_flight(self) -> bool {
        matches!(self, State::Head | State::Active | State::Upgraded)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::New => "new",
            State::Head => "head",
            State::Active => "active",
            State::Idle => "idle",
            State::Upgraded => "upgraded",
            State::Closing => "closing",
        })
    }
}

/// All open connections of one service, and what became of the others.
pub(crate) struct Register {
    clock: Rc<dyn Clock>,
    open: RefCell<Slab<Rc<Entry>>>,
    counts: RefCell<Counts>,
    draining: Cell<bool>,
    /// The connections that ended after the cause; `None` before it.
    spans: RefCell<Option<Spans>>,
    /// The shortest time limit that a connection here can have.
    shortest: Cell<Duration>,
    /// Whom to tell when it gets shorter.
    shorter: Sender<()>,
    /// Whoever waits for a connection to close.
    room: Cell<Option<Waker>>,
}

/// What the register knows of one connection.
pub(crate) struct Entry {
    pub(crate) peer: Peer,
    accepted: Instant,
    state: Cell<State>,
    since: Cell<Instant>,
    due: Cell<Option<Instant>>,
    expired: Cell<bool>,
    /// What it was doing when the cause came.
    at_cause: Cell<Option<State>>,
    /// Whether it did any work after the drain began.
    drained: Cell<bool>,
    request: RefCell<String>,
    waker: Cell<Option<Waker>>,
}

impl Entry {
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Register {
    pub(crate) fn new(clock: Rc<dyn Clock>, shorter: Sender<()>) -> Rc<Register> {
        Rc::new(Register {
            clock,
            open: RefCell::new(Slab::new()),
            counts: RefCell::new(Counts::default()),
            draining: Cell::new(false),
            spans: RefCell::new(None),
            shortest: Cell::new(Duration::MAX),
            shorter,
            room: Cell::new(None),
        })
    }

    /// Enters an accepted connection. It counts from here on, polled or not.
    pub(crate) fn enter(&self, cx: Rc<ServiceContext>, peer: Peer) -> Connection {
        let now = self.clock.now();
        let entry = Rc::new(Entry {
            peer,
            accepted: now,
            state: Cell::new(State::New),
            since: Cell::new(now),
            due: Cell::new(None),
            expired: Cell::new(false),
            at_cause: Cell::new(None),
            drained: Cell::new(false),
            request: RefCell::new(String::new()),
            waker: Cell::new(None),
        });
        self.counts.borrow_mut().accepted += 1;
        let key = self.open.borrow_mut().insert(entry.clone());
        Connection { cx, entry, key }
    }

    pub(crate) fn len(&self) -> usize {
        self.open.borrow().len()
    }

    pub(crate) fn in_flight(&self) -> usize {
        let open = self.open.borrow();
        open.iter().filter(|(_, entry)| entry.state.get().is_in_flight()).count()
    }

    /// From the cause on it is noted, for the timeline, how each connection ends.
    pub(crate) fn note_cause(&self) {
        *self.spans.borrow_mut() = Some(Spans::default());
        for (_, entry) in self.open.borrow().iter() {
            entry.at_cause.set(Some(entry.state.get()));
        }
    }

    pub(crate) fn take_spans(&self) -> Spans {
        self.spans.take().unwrap_or_default()
    }

    fn note_end(&self, entry: &Entry, cut_off: bool) {
        if let Some(spans) = &mut *self.spans.borrow_mut() {
            spans.note(entry.span(self.clock.now(), cut_off));
        }
    }

    /// Tells every connection that the drain has begun.
    pub(crate) fn begin_drain(&self) {
        if self.draining.replace(true) {
            return;
        }
        let head_due = self.clock.now() + HEAD_GRACE;
        for (_, entry) in self.open.borrow().iter() {
            let state = entry.state.get();
            entry.drained.set(state.is_in_flight());
            if state == State::Head {
                limit_due(&entry.due, head_due);
            }
            entry.wake();
        }
    }

    /// Lets every connection that is due know, and tells when the next one will be.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        let mut next = None;
        for (_, entry) in self.open.borrow().iter() {
            match entry.due.get() {
                Some(due) if due <= now => {
                    entry.expired.set(true);
                    entry.due.set(None);
                    entry.wake();
                }
                Some(due) => next = Some(next.map_or(due, |next: Instant| next.min(due))),
                None => {}
            }
        }
        next
    }

    /// No limit that is set from now on will pass sooner than this.
    pub(crate) fn shortest_limit(&self) -> Duration {
        match self.draining.get() {
            true => self.shortest.get().min(HEAD_GRACE),
            false => self.shortest.get(),
        }
    }

    pub(crate) fn set_shortest_limit(&self, limit: Duration) {
        self.shortest.set(self.shortest.get().min(limit));
        // If the channel is full, somebody is being told already.
        let _ = self.shorter.try_send(());
    }

    /// Waits until fewer than `limit` connections are open. One waiter at a time.
    pub(crate) async fn room(&self, limit: usize) {
        std::future::poll_fn(|cx| {
            if self.len() < limit {
                return Poll::Ready(());
            }
            self.room.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await
    }

    pub(crate) fn count(&self, update: impl FnOnce(&mut Counts)) {
        update(&mut self.counts.borrow_mut());
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts.borrow().clone()
    }

    pub(crate) fn snapshots(&self) -> Vec<Snapshot> {
        let now = self.clock.now();
        let open = self.open.borrow();
        open.iter().map(|(_, entry)| entry.snapshot(now)).collect()
    }

    /// Gives up on all connections that are still open: from here on they count as cut off.
    pub(crate) fn cut_off(&self) -> Vec<Snapshot> {
        let stragglers = self.snapshots();
        self.counts.borrow_mut().cut_off += stragglers.len() as u64;
        let open = std::mem::take(&mut *self.open.borrow_mut());
        open.iter().for_each(|(_, entry)| self.note_end(entry, true));
        stragglers
    }
}

impl Entry {
    fn span(&self, now: Instant, cut_off: bool) -> Span {
        Span {
            peer: self.peer.clone(),
            accepted: self.accepted,
            at_cause: self.at_cause.get(),
            ended: now,
            cut_off,
            request: self.request.borrow().clone(),
        }
    }

    fn snapshot(&self, now: Instant) -> Snapshot {
        Snapshot {
            peer: self.peer.clone(),
            state: self.state.get(),
            age: now.saturating_duration_since(self.accepted),
            in_state: now.saturating_duration_since(self.since.get()),
            request: self.request.borrow().clone(),
        }
    }
}

fn limit_due(due: &Cell<Option<Instant>>, limit: Instant) {
    due.set(Some(due.get().map_or(limit, |due| due.min(limit))));
}

/// A protocol's hold on one accepted connection; dropping it takes the connection off the books.
///
/// Made by the accept loop and handed to [`Protocol::serve`](crate::Protocol::serve).
pub struct Connection {
    cx: Rc<ServiceContext>,
    entry: Rc<Entry>,
    key: usize,
}

impl Connection {
    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.entry.peer
    }

    /// What the connection was last said to be doing. [`State::New`] at first.
    pub fn state(&self) -> State {
        self.entry.state.get()
    }

    /// Says what the connection is doing now, and how long it may do it; `None` is for ever.
    pub fn set_state(&self, state: State, limit: Option<Duration>) {
        let entry = &self.entry;
        let now = self.clock().now();
        entry.state.set(state);
        entry.since.set(now);
        entry.expired.set(false);
        entry.due.set(limit.and_then(|limit| now.checked_add(limit)));
        if state.is_in_flight() {
            if self.draining() {
                entry.drained.set(true);
                self.hurry_head();
            }
        } else {
            let mut request = entry.request.borrow_mut();
            request.clear();
            request.shrink_to(KEPT_REQUEST);
        }
    }

    /// Gives the connection `limit` from now; [`poll_expired`](Connection::poll_expired) tells when it is over.
    pub fn set_limit(&self, limit: Duration) {
        self.entry.expired.set(false);
        self.entry.due.set(self.clock().now().checked_add(limit));
        if self.draining() {
            self.hurry_head();
        }
    }

    /// While the drain is on, a half-sent request head gets two seconds at most.
    fn hurry_head(&self) {
        if self.state() == State::Head {
            limit_due(&self.entry.due, self.entry.since.get() + HEAD_GRACE);
        }
    }

    /// Whether shutdown has begun: answers say `Connection: close`, idle connections end.
    pub fn draining(&self) -> bool {
        self.cx.register.draining.get()
    }

    /// The shutdown, to be raced against.
    pub fn shutdown(&self) -> &Shutdown {
        self.cx.shutdown()
    }

    /// Whether the time limit last set has passed.
    pub fn expired(&self) -> bool {
        self.entry.expired.get()
    }

    /// Arranges for the task of `cx` to be woken when the drain begins or the limit passes.
    ///
    /// One task at a time: the last one that asked is the one that is woken.
    pub fn wake_on_news(&self, cx: &Context<'_>) {
        let waker = match self.entry.waker.take() {
            Some(waker) if waker.will_wake(cx.waker()) => waker,
            _ => cx.waker().clone(),
        };
        self.entry.waker.set(Some(waker));
    }

    /// Ready once the time limit has passed.
    pub fn poll_expired(&self, cx: &Context<'_>) -> Poll<()> {
        if self.expired() {
            return Poll::Ready(());
        }
        self.wake_on_news(cx);
        Poll::Pending
    }

    /// Notes the request in flight, as the report should name it if it becomes a straggler.
    pub fn set_request(&self, line: fmt::Arguments<'_>) {
        let mut request = self.entry.request.borrow_mut();
        request.clear();
        // Writing to a String cannot fail.
        let _ = fmt::Write::write_fmt(&mut *request, line);
    }

    /// Counts one request answered in full.
    pub fn count_request(&self) {
        self.cx.register.count(|counts| counts.requests += 1);
    }

    /// Counts one panic that was contained.
    pub fn count_panic(&self) {
        self.cx.register.count(|counts| counts.panicked += 1);
    }

    /// What the service was handed: its name, its shutdown, a place for its tasks.
    pub fn context(&self) -> &Rc<ServiceContext> {
        &self.cx
    }

    pub(crate) fn entry(&self) -> Rc<Entry> {
        self.entry.clone()
    }

    pub(crate) fn clock(&self) -> &Rc<dyn Clock> {
        &self.cx.clock
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let register = &self.cx.register;
        if register.open.borrow_mut().try_remove(self.key).is_none() {
            return; // cut off, and counted as such
        }
        register.note_end(&self.entry, false);
        if register.draining.get() {
            register.count(|counts| match self.entry.drained.get() {
                true => counts.drained += 1,
                false => counts.closed_idle += 1,
            });
        }
        if let Some(waker) = register.room.take() {
            waker.wake();
        }
    }
}
