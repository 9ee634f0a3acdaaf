//! A stage: services that are told to stop together, waited for together, and cut off together.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::report::Straggler;
use crate::shutdown::{Phase, Trigger};
use crate::slot::Slot;

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
        self.services.iter().for_each(|slot| slot.register().enter(phase));
    }

    /// Has the open connections of its services close one after the other, within so much time.
    pub(crate) fn spread(&self, over: Duration) {
        self.services.iter().for_each(|slot| slot.register().spread(over));
    }

    /// Tells all of its services to stop, in one turn of the loop. Repeats are no-ops.
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
            slot.ended().await;
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.services.iter().all(Slot::has_ended)
    }

    /// Gives up on what is left of its services, and tells what that is.
    pub(crate) fn cut_off(&self) -> Vec<Straggler> {
        let mut stragglers = Vec::new();
        let left = self.services.iter().filter(|slot| !slot.has_ended());
        left.for_each(|slot| slot.cut_off(&mut stragglers));
        stragglers
    }

    /// Drops what is left of its services.
    pub(crate) fn drop_rest(&self) {
        self.services.iter().for_each(Slot::drop_rest);
    }
}
