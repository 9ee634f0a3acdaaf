//! The register of one service: every open connection has an [`Entry`] with its peer, its state and
//! its time limit.
//!
//! The supervisor reads it; a protocol writes it, through its [`Connection`](crate::Connection).

mod counts;
mod entry;
mod span;
mod state;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use async_channel::Sender;
use slab::Slab;

use crate::clock::Clock;
use crate::net::Peer;
use crate::shutdown::Phase;

pub use counts::{Counts, Latency};
pub(crate) use entry::{Entry, HEAD_GRACE};
pub(crate) use span::{Span, Spans};
pub use state::{ConnectionStatus, State, Waiting};

/// How many connections are in each state.
pub type OpenByState = [(State, usize); State::ALL.len()];

/// All open connections of one service, and what became of the others.
pub(crate) struct Register {
    clock: Rc<dyn Clock>,
    phase: Cell<Phase>,
    open: RefCell<Slab<Rc<Entry>>>,
    counts: RefCell<Counts>,
    /// The connections that ended after the cause; `None` before it.
    spans: RefCell<Option<Spans>>,
    /// The shortest time limit that a connection here can have.
    shortest: Cell<Duration>,
    /// Tells the sweep when it gets shorter.
    shorter: Sender<()>,
    /// The accept loop, while it waits for a connection to close.
    accept_loop: Cell<Option<Waker>>,
}

impl Register {
    pub(crate) fn new(clock: Rc<dyn Clock>, shorter: Sender<()>) -> Rc<Register> {
        Rc::new(Register {
            clock,
            phase: Cell::new(Phase::Serving),
            open: RefCell::new(Slab::new()),
            counts: RefCell::new(Counts::default()),
            spans: RefCell::new(None),
            shortest: Cell::new(Duration::MAX),
            shorter,
            accept_loop: Cell::new(None),
        })
    }

    /// Enters an accepted connection. It counts from here on, polled or not.
    pub(crate) fn admit(&self, peer: Peer) -> Rc<Entry> {
        self.count(|counts| counts.accepted += 1);
        let mut open = self.open.borrow_mut();
        let place = open.vacant_entry();
        let key = u32::try_from(place.key()).expect("there are fewer descriptors than that");
        let entry = Rc::new(Entry::new(key, peer, self.clock.now()));
        place.insert(entry.clone());
        entry
    }

    /// Takes a connection that has closed off the books.
    pub(crate) fn leave(&self, entry: &Entry) {
        if self.open.borrow_mut().try_remove(entry.key()).is_none() {
            return; // cut off, and counted as such
        }
        self.note_end(entry, false);
        if self.phase.get() >= Phase::Draining {
            self.count(|counts| match entry.worked_in_drain() {
                true => counts.drained += 1,
                false => counts.closed_idle += 1,
            });
        }
        if let Some(waker) = self.accept_loop.take() {
            waker.wake();
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Goes on to a later phase, and tells every connection of the drain.
    pub(crate) fn enter(&self, phase: Phase) {
        let earlier = self.phase.replace(phase.max(self.phase.get()));
        if phase < Phase::Draining || earlier >= Phase::Draining {
            return;
        }
        let now = self.clock.now();
        self.open.borrow().iter().for_each(|(_, entry)| entry.begin_drain(now));
        self.tell_of_shorter_limit();
    }

    /// From the cause on it is noted how each connection ends, for the timeline.
    pub(crate) fn note_cause(&self) {
        *self.spans.borrow_mut() = Some(Spans::default());
        self.open.borrow().iter().for_each(|(_, entry)| entry.note_cause());
    }

    fn note_end(&self, entry: &Entry, cut_off: bool) {
        if let Some(spans) = &mut *self.spans.borrow_mut() {
            spans.note(entry.span(self.clock.now(), cut_off));
        }
    }

    pub(crate) fn take_spans(&self) -> Spans {
        self.spans.take().unwrap_or_default()
    }

    /// Gives up on all connections that are still open: from here on they count as cut off.
    pub(crate) fn cut_off(&self) {
        let open = self.open.take();
        self.count(|counts| counts.cut_off += open.len() as u64);
        open.iter().for_each(|(_, entry)| self.note_end(entry, true));
    }

    /// Lets every connection know whose time limit has passed, and tells when the next one will.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        self.open.borrow().iter().filter_map(|(_, entry)| entry.expire(now)).min()
    }

    /// No limit that is set from now on will pass sooner than this.
    pub(crate) fn shortest_limit(&self) -> Duration {
        match self.phase.get() >= Phase::Draining {
            true => self.shortest.get().min(HEAD_GRACE),
            false => self.shortest.get(),
        }
    }

    pub(crate) fn set_shortest_limit(&self, limit: Duration) {
        self.shortest.set(self.shortest.get().min(limit));
        self.tell_of_shorter_limit();
    }

    fn tell_of_shorter_limit(&self) {
        // If the channel is full, the sweep is being told already.
        let _ = self.shorter.try_send(());
    }

    /// Waits until fewer than `limit` connections are open. For one task at a time.
    pub(crate) async fn below_limit(&self, limit: usize) {
        poll_fn(|cx| {
            if self.len() < limit {
                return Poll::Ready(());
            }
            self.accept_loop.set(Some(cx.waker().clone()));
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

    pub(crate) fn len(&self) -> usize {
        self.open.borrow().len()
    }

    pub(crate) fn open_by_state(&self) -> OpenByState {
        let mut by_state = State::ALL.map(|state| (state, 0));
        for (_, entry) in self.open.borrow().iter() {
            by_state[entry.state() as usize].1 += 1;
        }
        by_state
    }

    /// The first `most` open connections.
    pub(crate) fn connections(&self, most: usize) -> Vec<ConnectionStatus> {
        let now = self.clock.now();
        let open = self.open.borrow();
        open.iter().take(most).map(|(_, entry)| entry.status(now)).collect()
    }
}
