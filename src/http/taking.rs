//! How a client takes its answers: how long it has taken nothing, and how fast it is.
//!
//! For a client that is slow, the system's buffer can stay too full for a write for minutes, though the client takes
//! some bytes in each second. So where the system tells what the client has not received yet, that decides;
//! elsewhere, what was written.

use std::time::Instant;

use crate::web::{Limits, Pace};

/// How a client takes its answers.
pub(super) struct Taking {
    pace: Pace,
    /// Bytes written.
    sent: usize,
    /// Bytes of those that the client had taken when that was last looked at.
    taken: usize,
}

impl Taking {
    pub(super) fn new(limits: &Limits) -> Taking {
        Taking { pace: Pace::new(limits.answer_rate), sent: 0, taken: 0 }
    }

    /// Another answer begins: its pace is its own.
    pub(super) fn begin(&mut self, limits: &Limits) {
        self.pace = Pace::new(limits.answer_rate);
        self.taken = self.sent;
    }

    /// So many bytes were written.
    pub(super) fn count_sent(&mut self, bytes: usize) {
        self.sent += bytes;
    }

    /// Nothing more can be written for now, and the client has not received so many bytes yet, if that is
    /// known. Tells whether it has taken some since this was last asked.
    pub(super) fn look(&mut self, unreceived: Option<usize>, now: Instant) -> bool {
        let taken = self.sent.saturating_sub(unreceived.unwrap_or(0)).max(self.taken);
        let more = taken - std::mem::replace(&mut self.taken, taken);
        self.pace.go_on(more, now);
        more > 0
    }

    /// Until when the client may take nothing.
    pub(super) fn wait(&mut self, limits: &Limits, now: Instant) -> Option<Instant> {
        let paced = self.pace.wait(now);
        now.checked_add(limits.answer_time).into_iter().chain(paced).min()
    }

    /// There is room again for bytes to be written.
    pub(super) fn go_on(&mut self, now: Instant) {
        self.pace.go_on(0, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// How many seconds a client is served that has 1 MB to take, and takes so much in each second. It is looked
    /// at whenever its time is over; `tells`: the system tells what it has received.
    fn served(each_second: usize, tells: bool) -> u64 {
        let (limits, begin) = (Limits::default(), Instant::now());
        let mut taking = Taking::new(&limits);
        taking.count_sent(1_000_000);
        let mut now = begin;
        loop {
            let passed = (now - begin).as_secs();
            let left = 1_000_000_usize.saturating_sub(each_second * passed as usize);
            if left == 0 {
                return u64::MAX;
            }
            let has_taken = taking.look(tells.then_some(left), now);
            let until = taking.wait(&limits, now).expect("there are limits");
            if now > begin && (!has_taken || until <= now) {
                return passed;
            }
            now = until.max(now + Duration::from_secs(1));
        }
    }

    #[test]
    fn a_client_is_as_fast_as_what_it_receives() {
        assert_eq!(served(0, true), 5, "it has the five seconds that each has");
        assert!((6..100).contains(&served(100, true)), "{}", served(100, true));
        assert_eq!(served(1000, true), u64::MAX);
    }

    #[test]
    fn if_nobody_tells_what_it_receives_it_has_the_time_for_what_was_written() {
        assert_eq!(served(0, false), 30);
    }
}
