//! The end of a run: why it began, when, and until when it may last. Computed once.

use std::time::{Duration, Instant};

use async_signal::Signal;

use super::cause::Cause;

/// Why and when a run began to end, and how long that may take.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    cause: Cause,
    began: Instant,
    grace: Duration,
    lame_duck: Duration,
}

impl Ending {
    /// A lame duck period that would last longer than the grace period ends with it.
    pub(crate) fn new(
        cause: Cause,
        began: Instant,
        grace: Duration,
        lame_duck: Duration,
    ) -> Ending {
        Ending { cause, began, grace, lame_duck: lame_duck.min(grace) }
    }

    pub(crate) fn cause(&self) -> &Cause {
        &self.cause
    }

    /// The signal that took something from the services, if one did: `forced` has ended the wait, or the
    /// cause has left no time. If nothing was lost, SIGQUIT has taken nothing.
    pub(crate) fn aborted(&self, forced: Option<Signal>, lost: bool) -> Option<Signal> {
        match (forced, &self.cause) {
            (None | Some(Signal::Quit), _) if !lost => None,
            (None, Cause::Signal(Signal::Quit)) => Some(Signal::Quit),
            _ => forced,
        }
    }

    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    pub(crate) fn lame_duck(&self) -> Duration {
        self.lame_duck
    }

    /// `None` if there is no lame duck period.
    pub(crate) fn lame_duck_end(&self) -> Option<Instant> {
        // One that never ends is ended by the deadline, if there is one.
        let end = self.began.checked_add(self.lame_duck).or(self.deadline());
        end.filter(|_| !self.lame_duck.is_zero())
    }

    /// The instant at which all is over; `None` if it is too far away to be told.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.began.checked_add(self.grace)
    }

    /// The instant at which a stage is cut off, if stages behind it have reserved so much time.
    pub(crate) fn until(&self, reserved: Duration) -> Option<Instant> {
        self.began.checked_add(self.grace.saturating_sub(reserved))
    }
}
