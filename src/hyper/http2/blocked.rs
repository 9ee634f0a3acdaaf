//! A socket that takes nothing: for how long it may.
//!
//! A client that takes a little has its time anew, and by its pace. The system has room for more only when a third of
//! its buffer is empty: what the client took before that counts too, where the system tells it.

use std::time::{Duration, Instant};

use crate::web::{Limits, Pace};

pub(super) struct Blocked {
    answer_time: Duration,
    pace: Pace,
    /// Bytes that were written, of which the pace does not know yet.
    sent: usize,
    since: Option<Since>,
}

#[derive(Clone, Copy)]
struct Since {
    at: Instant,
    /// How often something was written before.
    writes: u64,
    /// What of that the client had not received.
    unreceived: u64,
}

impl Blocked {
    pub(super) fn new(limits: &Limits) -> Blocked {
        let pace = Pace::new(limits.answer_rate);
        Blocked { answer_time: limits.answer_time, pace, sent: 0, since: None }
    }

    pub(super) fn note_sent(&mut self, bytes: usize) {
        self.sent += bytes;
    }

    /// The socket takes nothing after so many writes; `None`: it takes all that there is.
    pub(super) fn see(
        &mut self,
        after: Option<u64>,
        unreceived: impl FnOnce() -> u64,
        now: Instant,
    ) {
        if after == self.since.map(|since| since.writes) {
            return;
        }
        self.pace.go_on(std::mem::take(&mut self.sent), now);
        self.since = after.map(|writes| Since { at: now, writes, unreceived: unreceived() });
    }

    /// Until when it may go on; `None` is for ever.
    pub(super) fn until(&mut self) -> Option<Instant> {
        let since = self.since?.at;
        let by_time = since.checked_add(self.answer_time);
        by_time.into_iter().chain(self.pace.wait(since)).min()
    }

    pub(super) fn is(&self) -> bool {
        self.since.is_some()
    }

    /// Whether the client has had its time. What it has received in the meantime is more time.
    pub(super) fn is_over(&mut self, unreceived: u64, now: Instant) -> bool {
        if let Some(since) = &mut self.since
            && unreceived < since.unreceived
        {
            let received = since.unreceived - unreceived;
            (since.at, since.unreceived) = (now, unreceived);
            self.pace.go_on(usize::try_from(received).unwrap_or(usize::MAX), now);
        }
        self.until().is_some_and(|until| until <= now)
    }
}
