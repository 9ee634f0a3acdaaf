//! What a service has done, in numbers.

use std::time::Duration;

/// What one service has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections closed without being served: their peer had as many as it may have, or a
    /// [PROXY header](crate::ProxyProtocol) was not to be taken.
    pub refused: u64,
    /// Requests answered in full.
    pub requests: u64,
    /// The same by the first digit of the status, 1 to 5, as far as the protocol has told it.
    pub statuses: [u64; 5],
    /// How long those took.
    pub latency: Latency,
    /// Connections that did work after shutdown began, and ended it before the deadline.
    pub drained: u64,
    /// Connections that were closed by the drain while they had nothing to do.
    pub closed_idle: u64,
    /// Connections dropped at the deadline.
    pub cut_off: u64,
    /// Handlers that were dropped because their client had gone.
    pub dropped: u64,
    /// Connections or handlers that panicked.
    pub panicked: u64,
    /// Turns of the loop in which the service blocked the thread for longer than a second.
    pub blocked: u64,
    /// How many times the service was started anew after a failure: see [`restart`](crate::restart).
    pub restarted: u64,
    /// Bytes read from connections, as far as the protocol has told it; not those behind an upgrade.
    pub received: u64,
    /// Bytes written to connections, as far as the protocol has told it; not those behind an upgrade.
    pub sent: u64,
}

impl Counts {
    pub(crate) fn answer(&mut self, status: u16, took: Duration) {
        self.requests += 1;
        if let Some(count) = self.statuses.get_mut(usize::from(status / 100).wrapping_sub(1)) {
            *count += 1;
        }
        self.latency.observe(took);
    }
}

/// How long requests took, from the whole head to the last byte of the answer: a histogram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// One for each bound, and one for what is beyond the last.
    buckets: [u64; Latency::BOUNDS.len() + 1],
    sum: Duration,
}

impl Latency {
    /// The buckets' upper bounds.
    pub const BOUNDS: [Duration; 14] = {
        const fn micros(micros: u64) -> Duration {
            Duration::from_micros(micros)
        }
        [
            micros(500),
            micros(1_000),
            micros(2_500),
            micros(5_000),
            micros(10_000),
            micros(25_000),
            micros(50_000),
            micros(100_000),
            micros(250_000),
            micros(500_000),
            micros(1_000_000),
            micros(2_500_000),
            micros(5_000_000),
            micros(10_000_000),
        ]
    };

    fn observe(&mut self, took: Duration) {
        // From the lowest on: most requests are fast.
        let within = Latency::BOUNDS.iter().position(|&bound| took <= bound);
        self.buckets[within.unwrap_or(Latency::BOUNDS.len())] += 1;
        self.sum += took;
    }

    /// Each bound with how many requests took at most that long.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let buckets = self.buckets.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        Latency::BOUNDS.into_iter().zip(buckets)
    }

    /// How many requests there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How long they took together.
    pub fn sum(&self) -> Duration {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_what_is_slower_than_all_is_counted_too() {
        let mut latency = Latency::default();
        for micros in [1, 500, 501, 10_000_000, 10_000_001] {
            latency.observe(Duration::from_micros(micros));
        }
        let cumulative: Vec<_> = latency.cumulative().map(|(_, count)| count).collect();
        assert_eq!(cumulative, [2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4]);
        assert_eq!(latency.count(), 5);
        assert_eq!(latency.sum(), Duration::from_micros(20_001_003));
    }

    #[test]
    fn a_status_that_is_none_is_counted_as_a_request_all_the_same() {
        let mut counts = Counts::default();
        for status in [0, 99, 100, 204, 599, 600, u16::MAX] {
            counts.answer(status, Duration::ZERO);
        }
        assert_eq!(counts.statuses, [1, 1, 0, 0, 1]);
        assert_eq!(counts.requests, 7);
    }
}
