//! How fast a client moves what it sends or takes: the least rate, kept without a timer.
//!
//! A client has an allowance of time. Waiting for it uses that up, and each byte that it moves adds to it as
//! much as the byte may take at the least rate. When the allowance is used up, the client is too slow.

use std::time::{Duration, Instant};

/// What every body may take, however little comes.
pub(crate) const ALLOWANCE: Duration = Duration::from_secs(5);

/// The pace of one body on its way in or out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Bytes per second; 0 is no rate.
    rate: u32,
    left: Duration,
    /// Since when the client is waited for.
    waits: Option<Instant>,
}

impl Pace {
    /// A body that must move so many bytes per second; 0 is no rate.
    pub(crate) fn new(rate: u32) -> Pace {
        Pace { rate, left: ALLOWANCE, waits: None }
    }

    /// The client is waited for, from now on or since an earlier call. Tells until when it may be; `None` is for
    /// ever.
    pub(crate) fn wait(&mut self, now: Instant) -> Option<Instant> {
        if self.rate == 0 {
            return None;
        }
        self.waits.get_or_insert(now).checked_add(self.left)
    }

    /// The client has moved so many bytes, perhaps none, and is not waited for until the next
    /// [`wait`](Pace::wait).
    pub(crate) fn go_on(&mut self, bytes: usize, now: Instant) {
        // First what was earned: what is moved during a wait may be noticed only when its time is over.
        self.earn(bytes);
        if let Some(since) = self.waits.take() {
            self.left = self.left.saturating_sub(now.saturating_duration_since(since));
        }
    }

    /// The client has moved so many bytes, whether it is waited for or not.
    pub(crate) fn earn(&mut self, bytes: usize) {
        if self.rate > 0 {
            let earned = Duration::from_secs_f64(bytes as f64 / f64::from(self.rate));
            self.left = self.left.saturating_add(earned);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_client_that_moves_nothing_has_the_allowance() {
        let now = Instant::now();
        let mut pace = Pace::new(240);
        assert_eq!(pace.wait(now), Some(now + ALLOWANCE));
        // A second look is the same wait.
        assert_eq!(pace.wait(now + seconds(3.0)), Some(now + ALLOWANCE));
    }

    #[test]
    fn a_drip_uses_the_allowance_up_and_the_least_rate_keeps_it() {
        for (each_second, is_kept) in [(1, false), (239, false), (240, true), (1000, true)] {
            let mut now = Instant::now();
            let mut pace = Pace::new(240);
            let mut is_late = false;
            for _ in 0..10_000 {
                let until = pace.wait(now);
                now += seconds(1.0);
                is_late |= until.is_some_and(|until| until < now);
                pace.go_on(each_second, now);
            }
            assert_eq!(!is_late, is_kept, "{each_second} bytes a second");
        }
    }

    #[test]
    fn time_in_which_nobody_waits_does_not_count() {
        let now = Instant::now();
        let mut pace = Pace::new(240);
        pace.wait(now);
        pace.go_on(0, now + seconds(4.0));
        let later = now + seconds(1000.0);
        assert_eq!(pace.wait(later), Some(later + seconds(1.0)));
    }

    #[test]
    fn without_a_rate_there_is_no_limit() {
        let mut pace = Pace::new(0);
        assert_eq!(pace.wait(Instant::now()), None);
        pace.go_on(1, Instant::now());
        assert_eq!(pace.wait(Instant::now()), None);
    }
}
