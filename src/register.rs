//! The register of one service: every open connection has an entry with its peer, its state and the
//! instant it is due.
//!
//! The supervisor reads it; a protocol holds the other end of an entry, a [`Connection`].

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use async_channel::Sender;
use slab::Slab;

use crate::clock::Clock;
use crate::connection::{Connection, State, Waiting};
use crate::counts::Counts;
use crate::net::Peer;
use crate::report::Snapshot;
use crate::service::Context as ServiceContext;
use crate::timeline::{Span, Spans};

/// How long a half-sent request head may take to arrive once shutdown has begun.
pub(crate) const HEAD_GRACE: Duration = Duration::from_secs(2);

/// All open connections of one service, and what became of the others.
pub(crate) struct Register {
    clock: Rc<dyn Clock>,
    pub(crate) open: RefCell<Slab<Rc<Entry>>>,
    counts: RefCell<Counts>,
    pub(crate) leaving: Cell<bool>,
    pub(crate) draining: Cell<bool>,
    /// The connections that ended after the cause; `None` before it.
    spans: RefCell<Option<Spans>>,
    /// The shortest time limit that a connection here can have.
    shortest: Cell<Duration>,
    /// Whom to tell when it gets shorter.
    shorter: Sender<()>,
    /// Whoever waits for a connection to close.
    pub(crate) room: Cell<Option<Waker>>,
}

/// What the register knows of one connection.
pub(crate) struct Entry {
    pub(crate) peer: Peer,
    pub(crate) accepted: Instant,
    pub(crate) state: Cell<State>,
    pub(crate) since: Cell<Instant>,
    pub(crate) due: Cell<Option<Instant>>,
    pub(crate) expired: Cell<bool>,
    /// What it waits for within its state; `None` is the handler.
    pub(crate) waiting: Cell<Option<Waiting>>,
    pub(crate) received: Cell<u64>,
    pub(crate) sent: Cell<u64>,
    /// What it was doing when the cause came.
    at_cause: Cell<Option<State>>,
    /// Whether it did any work after the drain began.
    pub(crate) drained: Cell<bool>,
    pub(crate) request: RefCell<String>,
    pub(crate) waker: Cell<Option<Waker>>,
}

impl Entry {
    pub(crate) fn wake(&self) {
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
            leaving: Cell::new(false),
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
            waiting: Cell::new(None),
            received: Cell::new(0),
            sent: Cell::new(0),
            at_cause: Cell::new(None),
            drained: Cell::new(false),
            request: RefCell::new(String::new()),
            waker: Cell::new(None),
        });
        self.counts.borrow_mut().accepted += 1;
        let key = self.open.borrow_mut().insert(entry.clone());
        Connection::new(cx, entry, key)
    }

    pub(crate) fn len(&self) -> usize {
        self.open.borrow().len()
    }

    pub(crate) fn in_flight(&self) -> usize {
        let open = self.open.borrow();
        open.iter().filter(|(_, entry)| entry.state.get().is_in_flight()).count()
    }

    pub(crate) fn open_by_state(&self) -> [(State, usize); State::ALL.len()] {
        let mut by_state = State::ALL.map(|state| (state, 0));
        for (_, entry) in self.open.borrow().iter() {
            by_state[entry.state.get() as usize].1 += 1;
        }
        by_state
    }

    /// From the cause on it is noted how each connection ends, for the timeline.
    pub(crate) fn note_cause(&self) {
        *self.spans.borrow_mut() = Some(Spans::default());
        for (_, entry) in self.open.borrow().iter() {
            entry.at_cause.set(Some(entry.state.get()));
        }
    }

    pub(crate) fn note_end(&self, entry: &Entry, cut_off: bool) {
        if let Some(spans) = &mut *self.spans.borrow_mut() {
            spans.note(entry.span(self.clock.now(), cut_off));
        }
    }

    pub(crate) fn take_spans(&self) -> Spans {
        self.spans.take().unwrap_or_default()
    }

    /// From now on every answer is the last one on its connection.
    pub(crate) fn begin_lame_duck(&self) {
        self.leaving.set(true);
    }

    pub(crate) fn draining(&self) -> bool {
        self.draining.get()
    }

    /// Tells every connection that the drain has begun.
    pub(crate) fn begin_drain(&self) {
        self.leaving.set(true);
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
        self.tell_of_shorter_limit();
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
        self.tell_of_shorter_limit();
    }

    /// Has the sweep look sooner than it meant to.
    pub(crate) fn tell_of_shorter_limit(&self) {
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

    /// The first `most` open connections.
    pub(crate) fn snapshots(&self, most: usize) -> Vec<Snapshot> {
        let now = self.clock.now();
        let open = self.open.borrow();
        open.iter().take(most).map(|(_, entry)| entry.snapshot(now)).collect()
    }

    /// Gives up on all connections that are still open: from here on they count as cut off.
    pub(crate) fn cut_off(&self) {
        let mut open = self.open.borrow_mut();
        self.counts.borrow_mut().cut_off += open.len() as u64;
        open.drain().for_each(|entry| self.note_end(&entry, true));
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
            received: self.received.get(),
            sent: self.sent.get(),
            waits_for: self.waits_for(),
        }
    }

    fn waits_for(&self) -> Waiting {
        match self.state.get() {
            State::New | State::Idle | State::Head => Waiting::Head,
            State::Active => self.waiting.get().unwrap_or(Waiting::Handler),
            State::Upgraded => Waiting::Handler,
            State::Closing => Waiting::Close,
        }
    }
}

/// Brings a limit forward.
pub(crate) fn limit_due(due: &Cell<Option<Instant>>, limit: Instant) {
    due.set(Some(due.get().map_or(limit, |due| due.min(limit))));
}
