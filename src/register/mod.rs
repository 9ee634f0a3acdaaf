//! The register of one service: every open connection has an [`Entry`] with its peer, its state and
//! its time limit.
//!
//! The supervisor reads it; a protocol writes it, through its [`Connection`](crate::Connection). One
//! [`sweep`] keeps the time limits of all connections, so that none of them owns a timer.

mod asking;
mod counts;
mod entry;
mod per_peer;
mod polled;
mod span;
mod state;
mod tasks;
mod turn;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};
use futures_lite::FutureExt;
use slab::Slab;

use crate::base::clock::Clock;
use crate::net::Peer;
use crate::shutdown::Phase;

use asking::Asking;
pub use counts::{Counts, Latency};
pub(crate) use entry::{Entry, HEAD_GRACE};
pub(crate) use per_peer::{PerPeer, Seat};
pub(crate) use polled::Polled;
pub(crate) use span::{Span, Spans};
pub use state::{ClientEnd, ConnectionStatus, State, Waiting};
pub use tasks::TaskStatus;
pub(crate) use tasks::{TaskName, Tasks};

/// How finely time limits are kept: limits that pass closer together than this share one wake-up.
const STEP: Duration = Duration::from_millis(100);

/// How many connections are in each state.
pub type OpenByState = [(State, usize); State::ALL.len()];

/// All open connections of one service, and what became of the others.
pub(crate) struct Register {
    clock: Rc<dyn Clock>,
    phase: Cell<Phase>,
    open: RefCell<Slab<Rc<Entry>>>,
    tasks: Rc<Tasks>,
    counts: RefCell<Counts>,
    /// The connections that ended after the cause; `None` before it.
    spans: RefCell<Option<Spans>>,
    /// What the thread of the run is busy with, and the number of this service there.
    polled: Arc<Polled>,
    number: usize,
    /// Since when this turn of the loop has worked on something, if it is this service's.
    turn_began: Cell<Option<Instant>>,
    /// The shortest time limit that a connection here can have.
    shortest: Cell<Duration>,
    /// Tells the sweep when it gets shorter.
    shorter: Sender<()>,
    /// What is asked of connections over time.
    asking: Cell<Asking>,
    /// When something was last warned of that may come in masses.
    warned: Cell<Option<Instant>>,
    /// The accept loop, while it waits for a connection to close.
    accept_loop: Cell<Option<Waker>>,
    /// Where the service listens or has listened, each address once.
    addresses: RefCell<Vec<String>>,
}

impl Register {
    pub(crate) fn new(
        service: &str,
        clock: Rc<dyn Clock>,
        polled: Arc<Polled>,
        shorter: Sender<()>,
    ) -> Rc<Register> {
        Rc::new(Register {
            clock,
            phase: Cell::new(Phase::Serving),
            open: RefCell::new(Slab::new()),
            tasks: Rc::default(),
            counts: RefCell::new(Counts::default()),
            spans: RefCell::new(None),
            number: polled.number(service),
            polled,
            turn_began: Cell::new(None),
            shortest: Cell::new(Duration::MAX),
            shorter,
            asking: Cell::default(),
            warned: Cell::new(None),
            accept_loop: Cell::new(None),
            addresses: RefCell::default(),
        })
    }

    /// Enters an accepted connection. It counts from here on, polled or not.
    pub(crate) fn admit(&self, peer: Peer, seat: Option<Box<Seat>>) -> Rc<Entry> {
        self.count(|counts| counts.accepted += 1);
        let mut open = self.open.borrow_mut();
        let place = open.vacant_entry();
        let key = u32::try_from(place.key()).expect("there are fewer descriptors than that");
        let entry = Rc::new(Entry::new(key, peer, seat, self.clock.now()));
        place.insert(entry.clone());
        entry
    }

    /// Takes a connection that has closed off the books.
    pub(crate) fn leave(&self, entry: &Entry) {
        if self.open.borrow_mut().try_remove(entry.key()).is_none() {
            return; // cut off, and counted as such
        }
        self.note_end(entry, false);
        let was_asked =
            entry.is_asked_to_close() && matches!(entry.state(), State::New | State::Idle);
        match self.phase.get() >= Phase::Draining {
            true if entry.worked_in_drain() => self.count(|counts| counts.drained += 1),
            false if !was_asked => {}
            _ => self.count(|counts| counts.closed_idle += 1),
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

    /// Gives up on all connections that are still open: from here on they count as cut off. Each is woken, for
    /// its last word.
    pub(crate) fn cut_off(&self) {
        let open = self.open.take();
        self.count(|counts| counts.cut_off += open.len() as u64);
        open.iter().for_each(|(_, entry)| {
            self.note_end(entry, true);
            entry.cut_off();
        });
    }

    /// Sets how old a connection may get before its client is sent elsewhere.
    pub(crate) fn set_max_age(&self, age: Duration) {
        self.asking.set(Asking { max_age: Some(age), ..self.asking.get() });
        self.set_shortest_limit(age.mul_f64(0.9));
    }

    /// Has the connections that are open close, as far as they have nothing in flight, one after the other
    /// within so much time.
    pub(crate) fn spread(&self, over: Duration) {
        let spread = Some((self.clock.now(), over));
        self.asking.set(Asking { spread, ..self.asking.get() });
        self.tell_of_shorter_limit();
    }

    /// Lets every connection know whose time limit has passed, or who should go now. Tells when the next one
    /// will be.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        let asking = self.asking.get();
        let asks = self.phase.get() < Phase::Draining && !asking.is_nothing();
        let next = |entry: &Entry| {
            let asked = if asks { entry.ask(&asking, now) } else { None };
            asked.into_iter().chain(entry.expire(now)).min()
        };
        self.open.borrow().iter().filter_map(|(_, entry)| next(entry)).min()
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

    /// Has the sweep look in time for a limit that was set to `at`.
    pub(crate) fn limit_at(&self, at: Option<Instant>) {
        let next_look = self.clock.now().checked_add(self.shortest_limit());
        if at.zip(next_look).is_some_and(|(at, next_look)| at < next_look) {
            self.tell_of_shorter_limit();
        }
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

    /// Notes an address on which the service listens.
    pub(crate) fn listens_on(&self, address: String) {
        let mut addresses = self.addresses.borrow_mut();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        self.addresses.borrow().clone()
    }

    /// Whether a warning is due of what may come in masses: once a second.
    pub(crate) fn may_warn(&self) -> bool {
        let now = self.clock.now();
        let due = self.warned.get().is_none_or(|last| now >= last + Duration::from_secs(1));
        if due {
            self.warned.set(Some(now));
        }
        due
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

    pub(crate) fn tasks(&self) -> &Rc<Tasks> {
        &self.tasks
    }

    /// The first `most` open connections.
    pub(crate) fn connections(&self, most: usize) -> Vec<ConnectionStatus> {
        let now = self.clock.now();
        let open = self.open.borrow();
        open.iter().take(most).map(|(_, entry)| entry.status(now)).collect()
    }
}

/// Looks at the time limits of all connections, again and again. Never done.
///
/// No limit is shorter than `shortest_limit`. So if we sleep at most that long, a limit that is set
/// while we sleep cannot be missed. We are woken when `shortest_limit` itself shrinks.
pub(crate) async fn sweep(
    registers: Vec<Rc<Register>>,
    clock: Rc<dyn Clock>,
    shorter_limits: Receiver<()>,
) -> Infallible {
    loop {
        let now = clock.now();
        let next = registers.iter().filter_map(|register| register.expire(now)).min();
        let shortest = registers.iter().map(|register| register.shortest_limit()).min();
        let latest = now.checked_add(shortest.unwrap_or(Duration::MAX).max(STEP));
        let at = next.into_iter().chain(latest).min();
        let sleep = async {
            match at {
                Some(at) => clock.sleep_until(at).await,
                None => pending().await,
            }
        };
        let told = async {
            if shorter_limits.recv().await.is_err() {
                pending().await // every service has ended
            }
        };
        told.or(sleep).await;
        // However often it is told, it looks at everybody only so often.
        clock.sleep_until(now + STEP).await;
    }
}
