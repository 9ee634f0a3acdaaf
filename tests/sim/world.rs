//! What is seen of a run: by the clients, by the handlers, by the network. `watch.rs` and `judge.rs` judge it.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::time::{Duration, Instant};

use adieu::testing::{ManualClock, Network};
use adieu::{Clock, Shutdown, Status};

use crate::http2;
use crate::life::Life;
use crate::net::{SharedEnd, Time};
use crate::plan::Plan;
use crate::reader::Answer;

/// When something was seen: the time since the start, and the order within the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    pub order: u64,
    pub time: Duration,
}

/// What is seen of one client's connection.
#[derive(Debug, Default)]
pub struct Seen {
    /// The number that the network gave it; none if it was refused.
    pub peer: Option<usize>,
    pub requests: Vec<Asked>,
    pub answers: Vec<(Answer, Stamp)>,
    /// How often it was told to go on with a body.
    pub continues: usize,
    /// Part of an answer came, and not the rest.
    pub partial: bool,
    /// That part may be all but the end of the connection, for which the client has not waited.
    pub perhaps_whole: bool,
    pub raw_sent: Vec<u8>,
    pub raw_received: Vec<u8>,
    /// How many raw bytes had been sent before the drain began.
    pub raw_arrived: usize,
    pub half_closed: bool,
    pub vanished: bool,
    /// It has closed the connection, with all its answers in hand.
    #[cfg_attr(not(feature = "hyper"), allow(dead_code))]
    pub left: bool,
    /// The same over HTTP/2, if it speaks that.
    pub http2: http2::Seen,
    pub ended: Option<Stamp>,
    pub reset: bool,
}

/// One request: when its bytes were sent, and what the handler made of it.
#[derive(Debug, Default)]
pub struct Asked {
    pub first: Option<Stamp>,
    pub head: Option<Stamp>,
    pub last: Option<Stamp>,
    /// When some of it was sent last, and the longest time between two parts.
    pub moved: Option<Stamp>,
    pub paused: Duration,
    /// Its handler was called.
    pub was_begun: bool,
    pub handled: Option<Handled>,
}

impl Asked {
    /// Some of it is sent.
    pub fn note_sent(&mut self, stamp: Stamp) {
        self.first.get_or_insert(stamp);
        let before = self.moved.replace(stamp).unwrap_or(stamp);
        self.paused = self.paused.max(stamp.time - before.time);
    }
}

impl Seen {
    /// The requests that were answered in full.
    pub fn answered(&self) -> impl Iterator<Item = &Asked> {
        let in_order = |number: usize| number < self.answers.len();
        let is_whole =
            move |number| self.http2.is_answered(number).unwrap_or_else(|| in_order(number));
        let asked = self.requests.iter().enumerate();
        asked.filter(move |(number, _)| is_whole(*number)).map(|(_, asked)| asked)
    }
}

/// The end of a handler: from here on it is decided whether the answer says `close`.
#[derive(Clone, Copy, Debug)]
pub struct Handled {
    pub at: Stamp,
    /// Shutdown had begun, maybe with a lame duck period.
    pub leaving: bool,
    pub draining: bool,
}

/// What is seen of one service.
pub struct Served {
    pub network: Network,
    pub starved_until: Cell<Duration>,
    pub failed_accepts: Cell<usize>,
    /// The server's ends, in the order in which they were accepted, which is that of the peers' numbers.
    pub ends: RefCell<Vec<SharedEnd>>,
    /// The clients, in the order in which they connected.
    pub connected: RefCell<Vec<usize>>,
    pub panics: Cell<u64>,
    /// Held by tasks that handlers have spawned.
    pub busy: Rc<()>,
    /// When it was told to stop.
    pub told: Cell<Option<Duration>>,
    /// Its accept loop, or the worker that is restarted, has come to its end.
    pub returned: Cell<bool>,
    /// When a worker was started, and when it failed.
    pub started: RefCell<Vec<Duration>>,
    pub failed: RefCell<Vec<Duration>>,
    /// How many tasks have come to their end.
    pub done: Cell<usize>,
}

pub struct World {
    pub plan: Plan,
    pub clock: ManualClock,
    /// What the clock shows, and the order of what is seen.
    pub time: Time,
    pub seen: Vec<RefCell<Seen>>,
    pub served: Vec<Served>,
    /// The run as its services see it, and when each stage is told.
    pub status: RefCell<Option<Status>>,
    pub stops: Vec<RefCell<Option<Shutdown>>>,
    /// What is seen of readiness and reloads.
    pub life: Life,
    /// When shutdown began, as `watch.rs` saw it.
    pub cause: Cell<Option<Duration>>,
    /// When the first signal was sent.
    pub signalled: Cell<Option<Duration>>,
    /// A second signal was sent, or one that leaves no time.
    pub aborted: Cell<bool>,
    /// Held by services, handlers and what they have spawned.
    pub alive: Rc<()>,
    /// Held by whoever sleeps and is no part of the run.
    asleep: Rc<()>,
    start: Instant,
    hash: RefCell<DefaultHasher>,
    verbose: bool,
    violations: RefCell<Vec<String>>,
}

impl World {
    pub fn new(plan: Plan, networks: Vec<Network>, verbose: bool) -> World {
        let clock = ManualClock::new();
        let served = |network| Served {
            network,
            starved_until: Cell::default(),
            failed_accepts: Cell::default(),
            ends: RefCell::default(),
            connected: RefCell::default(),
            panics: Cell::default(),
            busy: Rc::default(),
            told: Cell::default(),
            returned: Cell::default(),
            started: RefCell::default(),
            failed: RefCell::default(),
            done: Cell::default(),
        };
        World {
            seen: plan.clients.iter().map(|_| RefCell::default()).collect(),
            served: networks.into_iter().map(served).collect(),
            status: RefCell::default(),
            stops: plan.reserves.iter().map(|_| RefCell::default()).collect(),
            life: Life::new(plan.services.len()),
            time: Time::default(),
            cause: Cell::default(),
            signalled: Cell::default(),
            aborted: Cell::default(),
            alive: Rc::default(),
            asleep: Rc::default(),
            start: clock.now(),
            hash: RefCell::default(),
            verbose,
            violations: RefCell::default(),
            plan,
            clock,
        }
    }

    pub fn now(&self) -> Duration {
        self.clock.now() - self.start
    }

    /// Moves the time on to where the next sleep ends. `false`: nobody sleeps.
    pub fn advance(&self) -> bool {
        let advanced = self.clock.advance_to_next().is_some();
        self.time.set(self.now());
        advanced
    }

    pub async fn sleep(&self, time: Duration) {
        let _asleep = self.asleep.clone();
        self.clock.sleep_until(self.clock.now() + time).await;
    }

    /// How many timers of the run there are.
    pub fn timers(&self) -> usize {
        self.clock.sleepers() - (Rc::strong_count(&self.asleep) - 1)
    }

    pub fn stamp(&self) -> Stamp {
        self.time.stamp()
    }

    pub fn leaving(&self) -> bool {
        self.status.borrow().as_ref().is_some_and(|status| status.leaving().has_begun())
    }

    /// Whether a stage was told to stop.
    pub fn told(&self, stage: usize) -> bool {
        self.stops[stage].borrow().as_ref().is_some_and(Shutdown::has_begun)
    }

    /// Whether a service was told to stop.
    pub fn draining(&self, service: usize) -> bool {
        self.told(self.plan.stages[service])
    }

    /// Whether answers of a service should ask their clients to go elsewhere.
    pub fn says_close(&self, service: usize) -> bool {
        let lame_duck = self.plan.stages[service] == 0 && !self.plan.lame_duck.is_zero();
        self.draining(service) || (lame_duck && self.leaving())
    }

    /// Adds a line to the story of the run.
    pub fn tell(&self, line: fmt::Arguments<'_>) -> Stamp {
        let stamp = self.stamp();
        let line = format!("{:>6} ms  {line}", stamp.time.as_millis());
        line.hash(&mut *self.hash.borrow_mut());
        if self.verbose {
            println!("{line}");
        }
        stamp
    }

    pub fn violation(&self, line: fmt::Arguments<'_>) {
        let stamp = self.tell(format_args!("VIOLATION: {line}"));
        self.violations.borrow_mut().push(format!("{} ms: {line}", stamp.time.as_millis()));
    }

    pub fn violations(&self) -> Vec<String> {
        self.violations.borrow().clone()
    }

    /// The same for every run of the same seed.
    pub fn hash(&self) -> u64 {
        self.hash.borrow().finish()
    }
}
