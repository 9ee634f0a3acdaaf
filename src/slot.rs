//! One service while it runs: what the supervisor holds of it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use log::{Level, warn};

use crate::base::clock::Stamp;
use crate::group::Group;
use crate::register::{ConnectionStatus, Counts, OpenByState, Register, State, TaskStatus};
use crate::report::{Outcome, ServiceReport, Straggler};
use crate::shutdown::Phase;
use crate::words::LOG;

/// How many of those that are cut off the log names; the report has them all.
const LOGGED_AT_THE_END: usize = 20;

/// One service while it runs.
pub(crate) struct Slot {
    name: Rc<str>,
    stage: usize,
    register: Rc<Register>,
    outcome: Rc<RefCell<Option<Outcome>>>,
    group: Group,
    /// When its group last became quiet.
    quiet: Rc<Stamp>,
}

impl Slot {
    pub(crate) fn new(
        name: Rc<str>,
        stage: usize,
        register: Rc<Register>,
        outcome: Rc<RefCell<Option<Outcome>>>,
        group: Group,
        quiet: Rc<Stamp>,
    ) -> Slot {
        Slot { name, stage, register, outcome, group, quiet }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn register(&self) -> &Rc<Register> {
        &self.register
    }

    /// Waits until it [has ended](Slot::has_ended). Cancel-safe.
    pub(crate) async fn ended(&self) {
        self.group.ended().await;
    }

    /// The service has returned, and its connections and tasks are gone.
    pub(crate) fn has_ended(&self) -> bool {
        self.group.has_ended()
    }

    /// It has been told to stop, and has not.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.register.phase() >= Phase::Draining && !self.has_ended()
    }

    /// Since when it has had no connection and no task; `None` if it has one.
    pub(crate) fn quiet_since(&self) -> Option<Instant> {
        // Until it has returned, one task is the service itself.
        let own = usize::from(self.outcome.borrow().is_none());
        (self.group.len() <= own).then(|| self.quiet.get())
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
        let mut words: Vec<_> = numbers.map(|(count, what)| format!("{count} {what}")).collect();
        match self.register.tasks().count() {
            0 => {}
            1 => words.push("1 task".to_owned()),
            tasks => words.push(format!("{tasks} tasks")),
        }
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
            addresses: self.register.addresses(),
        }
    }

    /// The service itself, unless all that is left of it are its connections and tasks.
    fn itself(&self) -> Option<Straggler> {
        let returned = self.outcome.borrow().is_some();
        let alone = self.register.len() == 0 && self.register.tasks().count() == 0;
        let runs = !returned || (alone && !self.has_ended());
        runs.then(|| self.straggler(None, None))
    }

    fn straggler(
        &self,
        connection: Option<ConnectionStatus>,
        tasks: Option<TaskStatus>,
    ) -> Straggler {
        Straggler { service: self.name.to_string(), connection, tasks }
    }

    /// Adds what is left of the service, up to a length of `most`. Returns how many more there are.
    pub(crate) fn name_stragglers(&self, named: &mut Vec<Straggler>, most: usize) -> usize {
        let before = named.len();
        let itself = self.itself();
        let names = self.register.tasks().names();
        let all = usize::from(itself.is_some()) + names + self.register.len();
        named.extend(itself.into_iter().take(most.saturating_sub(before)));
        let tasks = self.register.tasks().named(most.saturating_sub(named.len()));
        named.extend(tasks.into_iter().map(|tasks| self.straggler(None, Some(tasks))));
        let connections = self.register.connections(most.saturating_sub(named.len()));
        named.extend(connections.into_iter().map(|one| self.straggler(Some(one), None)));
        all - (named.len() - before)
    }

    /// Gives up on what is left of it, and names that. Its connections can say a last word in the next turn of
    /// the loop.
    pub(crate) fn cut_off(&self, named: &mut Vec<Straggler>) {
        let before = named.len();
        self.name_stragglers(named, usize::MAX);
        let cut_off = &named[before..];
        cut_off.iter().take(LOGGED_AT_THE_END).for_each(|one| one.log(Level::Warn, "cut off:"));
        if let more @ 1.. = cut_off.len().saturating_sub(LOGGED_AT_THE_END) {
            warn!(target: LOG, service = self.name(), more; "cut off: {more} more of {}", self.name);
        }
        let mut outcome = self.outcome.borrow_mut();
        // A failure that came before is still what happened to it.
        if !outcome.as_ref().is_some_and(Outcome::is_failure) {
            *outcome = Some(Outcome::CutOff);
        }
        self.register.cut_off();
    }

    /// Drops what is left of it. In the next turn of the loop its sockets close and its destructors run.
    pub(crate) fn drop_rest(&self) {
        self.group.cut_off();
    }

    /// How it has ended; to be asked once, when it has, or is cut off.
    pub(crate) fn report(&self, told: Option<Duration>) -> ServiceReport {
        ServiceReport {
            name: self.name.to_string(),
            stage: self.stage,
            told,
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
    /// Where it listens, or has listened. Empty for a service without a [`Server`](crate::Server).
    pub addresses: Vec<String>,
}
