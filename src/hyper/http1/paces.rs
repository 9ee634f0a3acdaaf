//! How fast the client of one request sends its body and takes its answer.

use std::time::Instant;

use crate::web::{Limits, Pace};

/// The paces of one request; made when its client is waited for the first time.
pub(super) struct Paces {
    pub(super) body: Paced,
    pub(super) answer: Paced,
}

impl Paces {
    pub(super) fn new(limits: &Limits) -> Paces {
        let paced = |rate| Paced { pace: Pace::new(rate), moved: 0 };
        Paces { body: paced(limits.body_rate), answer: paced(limits.answer_rate) }
    }
}

/// One way.
pub(super) struct Paced {
    pace: Pace,
    /// The bytes that were moved, as far as the pace knows of them.
    moved: u64,
}

impl Paced {
    /// The client is waited for. Tells until when it may be, by its pace.
    pub(super) fn wait(&mut self, now: Instant) -> Option<Instant> {
        self.pace.wait(now)
    }

    /// So many bytes were moved, all in all, and the wait is over. Tells whether there are more than before.
    pub(super) fn go_on(&mut self, moved: u64, now: Instant) -> bool {
        let more = moved.saturating_sub(self.moved);
        self.moved = self.moved.max(moved);
        self.pace.go_on(usize::try_from(more).unwrap_or(usize::MAX), now);
        more > 0
    }
}
