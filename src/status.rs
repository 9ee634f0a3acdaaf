//! A run as it looks from inside: its phase, its services, whom it waits for.
//!
//! The supervisor writes it, every service can read it through
//! [`Context::status`](crate::Context::status): a readiness probe, an admin page, a notifier.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::connection::State;
use crate::counts::Counts;
use crate::group::Group;
use crate::register::Register;
use crate::report::{Cause, Outcome, ServiceReport, Straggler};
use crate::shutdown::Shutdown;

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No cause to stop has come up.
    Serving,
    /// Still accepting, but not ready: clients should go elsewhere, and answers say `Connection: close`.
    LameDuck,
    /// Listeners and idle connections are closed; work in flight may finish.
    Draining,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Serving => "serving",
            Phase::LameDuck => "lame duck",
            Phase::Draining => "draining",
        })
    }
}

/// A view of the run that a service belongs to. Clones look at the same run.
#[derive(Clone)]
pub struct Status(Rc<View>);

struct View {
    clock: Rc<dyn Clock>,
    began: Instant,
    phase: Cell<Phase>,
    cause: RefCell<Option<Cause>>,
    deadline: Cell<Option<Instant>>,
    grace: Cell<Option<Duration>>,
    leaving: Shutdown,
    slots: OnceCell<Vec<Slot>>,
}

impl Status {
    pub(crate) fn new(clock: Rc<dyn Clock>, leaving: Shutdown) -> Status {
        let began = clock.now();
        Status(Rc::new(View {
            clock,
            began,
            phase: Cell::new(Phase::Serving),
            cause: RefCell::new(None),
            deadline: Cell::new(None),
            grace: Cell::new(None),
            leaving,
            slots: OnceCell::new(),
        }))
    }

    /// How far the run has come.
    pub fn phase(&self) -> Phase {
        self.0.phase.get()
    }

    /// Whether new work should be sent here: until the first cause to stop.
    pub fn is_ready(&self) -> bool {
        !self.0.leaving.has_begun()
    }

    /// Begins with the first cause, when the run stops being ready; a service is told to stop
    /// ([`Context::shutdown`](crate::Context::shutdown)) only after the lame duck period.
    pub fn leaving(&self) -> &Shutdown {
        &self.0.leaving
    }

    /// Why the run is coming to its end; `None` before it is.
    pub fn cause(&self) -> Option<Cause> {
        self.0.cause.borrow().clone()
    }

    /// The instant at which whatever is left will be cut off; `None` before there is a cause to stop.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline.get()
    }

    /// The time left until the [`deadline`](Status::deadline).
    pub fn time_left(&self) -> Option<Duration> {
        Some(self.deadline()?.saturating_duration_since(self.0.clock.now()))
    }

    /// All the time there was from the cause to the deadline.
    pub fn grace(&self) -> Option<Duration> {
        self.0.grace.get()
    }

    /// How long ago the run began.
    pub fn uptime(&self) -> Duration {
        self.0.clock.now().saturating_duration_since(self.0.began)
    }

    /// Every service as it is now, in the order in which they were added.
    pub fn services(&self) -> Vec<ServiceStatus> {
        self.slots().iter().map(Slot::status).collect()
    }

    /// Whom the drain waits for: `most` of them by name, and how many more there are. Nobody
    /// before the drain.
    pub fn stragglers(&self, most: usize) -> (Vec<Straggler>, usize) {
        let mut named = Vec::new();
        let mut more = 0;
        for slot in self.slots().iter().filter(|slot| slot.is_waited_for()) {
            more += slot.name_stragglers(&mut named, most);
        }
        (named, more)
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        self.0.slots.get().map_or(&[], Vec::as_slice)
    }

    pub(crate) fn set_slots(&self, slots: Vec<Slot>) {
        // Once, at the start.
        let _ = self.0.slots.set(slots);
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.0.phase.set(phase);
    }

    /// Notes why and when the run began to end, and returns the deadline, if there can be one.
    pub(crate) fn set_cause(
        &self,
        cause: &Cause,
        began: Instant,
        grace: Duration,
    ) -> Option<Instant> {
        let deadline = began.checked_add(grace);
        *self.0.cause.borrow_mut() = Some(cause.clone());
        self.0.deadline.set(deadline);
        self.0.grace.set(deadline.is_some().then_some(grace));
        deadline
    }
}

/// One service as it is at one instant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// Whether it is told to stop only after the others have ended.
    pub is_admin: bool,
    /// Whether it has returned and all of its connections are closed.
    pub has_ended: bool,
    /// What it has done so far.
    pub counts: Counts,
    /// Its open connections: each state with how many are in it.
    pub open: [(State, usize); State::ALL.len()],
}

/// One service while it runs.
pub(crate) struct Slot {
    pub(crate) name: Rc<str>,
    pub(crate) is_admin: bool,
    pub(crate) register: Rc<Register>,
    pub(crate) outcome: Rc<RefCell<Option<Outcome>>>,
    pub(crate) group: Group,
}

impl Slot {
    /// The service has returned, and its connections and tasks are gone.
    pub(crate) fn has_ended(&self) -> bool {
        self.group.has_ended()
    }

    /// It has been told to stop, and has not.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.register.draining() && !self.has_ended()
    }

    /// What it is waited for, in numbers.
    pub(crate) fn waits_for(&self) -> String {
        let in_flight = self.register.in_flight();
        match self.register.len() - in_flight {
            0 if in_flight == 0 => "still running".to_owned(),
            0 => format!("{in_flight} in flight"),
            closing => format!("{in_flight} in flight, {closing} closing"),
        }
    }

    fn status(&self) -> ServiceStatus {
        ServiceStatus {
            name: self.name.to_string(),
            is_admin: self.is_admin,
            has_ended: self.has_ended(),
            counts: self.register.counts(),
            open: self.register.open_by_state(),
        }
    }

    /// The service itself, unless all that is left of it are its connections.
    fn itself(&self) -> Option<Straggler> {
        let returned = self.outcome.borrow().is_some();
        let runs = !returned || (self.register.len() == 0 && !self.has_ended());
        runs.then(|| Straggler { service: self.name.to_string(), connection: None })
    }

    /// Adds what is left of the service, up to a length of `most`. Returns how many more there are.
    fn name_stragglers(&self, named: &mut Vec<Straggler>, most: usize) -> usize {
        let before = named.len();
        let itself = self.itself();
        let all = usize::from(itself.is_some()) + self.register.len();
        named.extend(itself.into_iter().take(most.saturating_sub(before)));
        let room = most.saturating_sub(named.len());
        named.extend(self.register.snapshots(room).into_iter().map(|connection| Straggler {
            service: self.name.to_string(),
            connection: Some(connection),
        }));
        all - (named.len() - before)
    }

    /// How it has ended, at the end of the run; adds whoever is left of it to `stragglers`.
    pub(crate) fn report(&self, stragglers: &mut Vec<Straggler>) -> ServiceReport {
        // An admin service that was not told to stop cannot be late.
        if !self.has_ended() && (!self.is_admin || self.register.draining()) {
            self.name_stragglers(stragglers, usize::MAX);
        }
        let outcome = match self.outcome.borrow_mut().take() {
            Some(Outcome::Finished) | None if !self.has_ended() => Outcome::CutOff,
            outcome => outcome.unwrap_or(Outcome::CutOff),
        };
        self.register.cut_off();
        ServiceReport { name: self.name.to_string(), outcome, counts: self.register.counts() }
    }
}
