//! What is asked of connections one by one, before the drain asks all of them: to send their clients elsewhere,
//! or to close.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// What a connection was asked to do.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub(super) enum Asked {
    Nothing,
    /// To send its client elsewhere with the next answer.
    ToLeave,
    /// To close as soon as it has nothing in flight.
    ToClose,
}

/// What is to be asked of the connections of one service.
#[derive(Clone, Copy, Default)]
pub(super) struct Asking {
    /// How old a connection may get, give or take ten per cent: those that came together do not go together.
    pub(super) max_age: Option<Duration>,
    /// Since when connections close one after the other, and within which time.
    pub(super) spread: Option<(Instant, Duration)>,
}

impl Asking {
    pub(super) fn is_nothing(&self) -> bool {
        self.max_age.is_none() && self.spread.is_none()
    }

    /// What a connection is asked by now, and when there will be more. `who`: what tells it from others.
    pub(super) fn at<Id: Hash>(
        &self,
        now: Instant,
        accepted: Instant,
        who: impl FnOnce() -> Id,
    ) -> (Asked, Option<Instant>) {
        let lot = lot(who());
        let leave = self.max_age.and_then(|age| accepted.checked_add(age.mul_f64(0.9 + lot / 5.0)));
        let spread = self.spread.filter(|(since, _)| accepted <= *since);
        let close = spread.map(|(since, within)| since + within.mul_f64(lot));
        let is_due = |at: &Instant| *at <= now;
        let asked = match (close.is_some_and(|at| is_due(&at)), leave.is_some_and(|at| is_due(&at)))
        {
            (true, _) => Asked::ToClose,
            (false, true) => Asked::ToLeave,
            (false, false) => Asked::Nothing,
        };
        (asked, leave.into_iter().chain(close).filter(|at| !is_due(at)).min())
    }
}

/// The lot that somebody draws, from 0 to 1: always the same.
fn lot(who: impl Hash) -> f64 {
    let mut hasher = DefaultHasher::new();
    who.hash(&mut hasher);
    hasher.finish() as f64 / u64::MAX as f64
}
