//! A stage: services that are told to stop together, waited for together, and cut off together.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use crate::group::Group;
use crate::register::{Counts, OpenByState, Register, State};
use crate::report::{Outcome, ServiceReport, Straggler};
use crate::shutdown::{Phase, Trigger};

/// Services that are told to stop together.
pub(crate) struct Stage {
    services: Vec<Slot>,
    stop: Trigger,
    told: Cell<Option<Instant>>,
}

impl Stage {
    pub(crate) fn new(services: Vec<Slot>, stop: Trigger) -> Stage {
        Stage { services, stop, told: Cell::new(None) }
    }

    pub(crate) fn services(&self) -> &[Slot] {
        &self.services
    }

    /// When its services were told to stop.
    pub(crate) fn told(&self) -> Option<Instant> {
        self.told.get()
    }

    /// Takes all of its services on to a phase, in one turn of the loop.
    pub(crate) fn enter(&self, phase: Phase) {
        self.services.iter().for_each(|slot| slot.register.enter(phase));
    }

    /// Tells all of its services to stop, in one turn of the loop.
    pub(crate) fn drain(&self, now: Instant) {
        if self.told.get().is_none() {
            self.told.set(Some(now));
            self.stop.shut_down();
            self.enter(Phase::Draining);
        }
    }

    /// Waits until all of its services have ended. Cancel-safe.
    pub(crate) async fn ended(&self) {
        for slot in &self.services {
            slot.group.ended().await;
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.services.iter().all(Slot::has_ended)
    }

    /// Gives up on what is left of its services, and tells what that is. In the next turn of the loop
    /// their sockets close and their destructors run.
    pub(crate) fn cut_off(&self) -> Vec<Straggler> {
        let mut stragglers = Vec::new();
        for slot in self.services.iter().filter(|slot| !slot.has_ended()) {
            slot.name_stragglers(&mut stragglers, usize::MAX);
            slot.cut_off();
        }
        stragglers
    }
}

/// One service while it runs.
pub(crate) struct Slot {
    name: Rc<str>,
    stage: usize,
    register: Rc<Register>,
    outcome: Rc<RefCell<Option<Outcome>>>,
    group: Group,
}

impl Slot {
    pub(crate) fn new(
        name: Rc<str>,
        stage: usize,
        register: Rc<Register>,
        outcome: Rc<RefCell<Option<Outcome>>>,
        group: Group,
    ) -> Slot {
        Slot { name, stage, register, outcome, group }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn register(&self) -> &Register {
        &self.register
    }

    /// The service has returned, and its connections and tasks are gone.
    pub(crate) fn has_ended(&self) -> bool {
        self.group.has_ended()
    }

    /// It has been told to stop, and has not.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.register.phase() >= Phase::Draining && !self.has_ended()
    }

    /// What it is waited for, in numbers.
    pub(crate) fn waits_for(&self) -> String {
        let open = self.register.open_by_state();
        let sum = |of: fn(State) -> bool| -> usize {
            open.iter().filter(|(state, _)| of(*state)).map(|(_, count)| count).sum()
        };
        let numbers = [
            (sum(State::is_in_flight), "in flight"),
            (sum(|state| state == State::Closing), "closing"),
            // In the drain these have a moment left for their first byte, or are about to close.
            (sum(|state| matches!(state, State::New | State::Idle)), "idle"),
        ];
        let numbers = numbers.iter().filter(|(count, _)| *count > 0);
        let words: Vec<_> = numbers.map(|(count, what)| format!("{count} {what}")).collect();
        match words.is_empty() {
            true => "still running".to_owned(),
            false => words.join(", "),
        }
    }

    pub(crate) fn status(&self) -> ServiceStatus {
        ServiceStatus {
            name: self.name.to_string(),
            stage: self.stage,
            phase: if self.has_ended() { Phase::Ended } else { self.register.phase() },
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
    pub(crate) fn name_stragglers(&self, named: &mut Vec<Straggler>, most: usize) -> usize {
        let before = named.len();
        let itself = self.itself();
        let all = usize::from(itself.is_some()) + self.register.len();
        named.extend(itself.into_iter().take(most.saturating_sub(before)));
        let room = most.saturating_sub(named.len());
        named.extend(self.register.connections(room).into_iter().map(|connection| Straggler {
            service: self.name.to_string(),
            connection: Some(connection),
        }));
        all - (named.len() - before)
    }

    fn cut_off(&self) {
        let mut outcome = self.outcome.borrow_mut();
        // A failure that came before is still what happened to it.
        if !outcome.as_ref().is_some_and(Outcome::is_failure) {
            *outcome = Some(Outcome::CutOff);
        }
        self.register.cut_off();
        self.group.cut_off();
    }

    /// How it has ended; to be asked once, when it has, or is cut off.
    pub(crate) fn report(&self, began: Instant, told: Option<Instant>) -> ServiceReport {
        ServiceReport {
            name: self.name.to_string(),
            stage: self.stage,
            told: told.map(|told| told.saturating_duration_since(began)),
            outcome: self.outcome.take().unwrap_or(Outcome::CutOff),
            counts: self.register.counts(),
            spans: self.register.take_spans(),
        }
    }
}

/// One service as it is at one instant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// The number of its stage, from 0: services of a later stage are told to stop later.
    pub stage: usize,
    /// How far it has come. It has [ended](Phase::Ended) when it has returned and all of its
    /// connections and tasks are gone.
    pub phase: Phase,
    /// What it has done so far.
    pub counts: Counts,
    /// Its open connections: each state with how many are in it.
    pub open: OpenByState,
}
