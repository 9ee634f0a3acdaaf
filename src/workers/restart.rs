//! Restarts by choice: a service that starts another one anew when that fails.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_lite::FutureExt;
use log::warn;

use crate::error::BoxError;
use crate::report::Outcome;
use crate::service::{Context, Service};
use crate::words::{LOG, Seconds};

/// The shortest pause. A service that always fails at once must leave turns to the others.
const SHORTEST: Duration = Duration::from_millis(1);

/// When a service that has failed is started anew, and when no more; for [`restart`].
///
/// By the defaults a service that fails at once whenever it is started is started again after 0.1 s,
/// 0.2 s, 0.4 s and so on up to 25.6 s, less the jitter, and is given up after 25 to 51 s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RestartPolicy {
    first: Duration,
    longest: Duration,
    jitter: f64,
    healthy: Duration,
    give_up: Option<(u32, Duration)>,
}

impl Default for RestartPolicy {
    fn default() -> RestartPolicy {
        RestartPolicy {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(30),
            jitter: 0.5,
            healthy: Duration::from_secs(60),
            give_up: Some((10, Duration::from_secs(300))),
        }
    }
}

impl RestartPolicy {
    /// The defaults, each of which is told at the method that sets it.
    pub fn new() -> RestartPolicy {
        RestartPolicy::default()
    }

    /// Sets the pause before the first restart, which doubles from failure to failure, and the longest one.
    ///
    /// Default: 100 ms, since many a failure is over by then, and 30 s, since a failure that lasts is
    /// over soon after whatever has caused it is. A pause is at least 1 ms, so that a service
    /// that fails at once does not have the thread to itself. If `longest` is less than `first`, all
    /// pauses are `first`.
    pub fn pause(mut self, first: Duration, longest: Duration) -> RestartPolicy {
        self.first = first.max(SHORTEST);
        self.longest = longest.max(self.first);
        self
    }

    /// Sets how much of each pause is left to chance: from 0.0, nothing, to 1.0, all of it.
    ///
    /// Default: 0.5, so that a pause of 2 s lasts 1 to 2 s. With no chance at all, processes that have lost
    /// the same database would all come back to it in the same instant. What is out of bounds
    /// counts as the nearest bound, and not a number as 0.0.
    pub fn jitter(mut self, part: f64) -> RestartPolicy {
        self.jitter = if part.is_nan() { 0.0 } else { part.clamp(0.0, 1.0) };
        self
    }

    /// Sets how long a service has to run for the pauses to begin with the first one again.
    ///
    /// Default: 60 s, twice the longest pause: a service that fails twice a minute has not recovered. With 0,
    /// all pauses are the first one.
    pub fn healthy_after(mut self, time: Duration) -> RestartPolicy {
        self.healthy = time;
        self
    }

    /// Sets how many failures within which time are too many: the service is then given up.
    ///
    /// Default: 10 within 5 minutes. A service that fails at once uses them up in less than a minute, long
    /// enough for a database that is restarted; and no failure that lasts is hidden for ever. 0
    /// failures count as 1: the first one is the last. If `within` is 0, failures are forgotten
    /// at once, which is like [`never_give_up`](RestartPolicy::never_give_up) unless one is too many.
    pub fn give_up_after(mut self, failures: u32, within: Duration) -> RestartPolicy {
        self.give_up = Some((failures.max(1), within));
        self
    }

    /// Restarts the service however often it fails.
    pub fn never_give_up(mut self) -> RestartPolicy {
        self.give_up = None;
        self
    }

    /// The pause after `failures` in a row, the jitter still in it.
    fn pause_after(&self, failures: u32) -> Duration {
        let doubled = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.saturating_mul(doubled).min(self.longest)
    }

    /// The pause without the part that chance, from 0.0 to 1.0, takes off.
    fn shorten(&self, pause: Duration, chance: f64) -> Duration {
        let left = 1.0 - self.jitter * chance;
        Duration::try_from_secs_f64(pause.as_secs_f64() * left).unwrap_or(pause).max(SHORTEST)
    }
}

/// That a service was given up, and why: it is the error of the service, and so the cause to stop.
#[derive(Debug)]
#[non_exhaustive]
pub struct GaveUp {
    /// How many failures there were within the time of [`RestartPolicy::give_up_after`].
    pub failures: u32,
    /// The last one.
    pub last: BoxError,
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (s, GaveUp { failures, last }) = (if self.failures == 1 { "" } else { "s" }, self);
        write!(f, "gave up after {failures} failure{s}: {last}")
    }
}

impl std::error::Error for GaveUp {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.last)
    }
}

/// A service that starts what `make` makes, and starts it anew when that fails: returns an error or
/// panics.
///
/// It is for work without clients: a consumer of a queue, a poller, a connection to another server that
/// has to be made again. It is **not for servers**. The failure of a connection or a handler never
/// ends a [`Server`](crate::Server); what does is a broken listener, and clients are better off with
/// a new process than with a port that is closed in between.
///
/// - `Ok` is the end, as for any service. Only failures are restarted.
/// - Pauses grow and failures are counted by the `policy`, with the supervisor's clock. With too many of
///   them the service fails with [`GaveUp`], which is a cause to stop for all.
/// - Once there is a cause to stop ([`Status::leaving`](crate::Status::leaving)) nothing is restarted: a
///   failure is then the service's own, and a pause ends with `Ok`, since its failure was told before.
/// - Each failure is logged as a warning, and each restart counted
///   ([`Counts::restarted`](crate::Counts::restarted)).
/// - Tasks that the failed one has [spawned](Context::spawn) belong to the service and go on. Work that is
///   to end with it should be part of its future.
///
/// ```
/// use adieu::{Context, RestartPolicy, Supervisor, restart};
///
/// async fn consume(cx: Context) -> Result<(), std::io::Error> {
///     // Connects to the queue and takes messages; fails when the connection breaks.
///     Ok(cx.shutdown().begun().await)
/// }
///
/// let supervisor = Supervisor::new().service("queue", restart(RestartPolicy::new(), || consume));
/// ```
pub fn restart<S: Service>(
    policy: RestartPolicy,
    make: impl FnMut() -> S + 'static,
) -> impl Service {
    Restart { policy, make }
}

struct Restart<F> {
    policy: RestartPolicy,
    make: F,
}

impl<S: Service, F: FnMut() -> S + 'static> Service for Restart<F> {
    async fn serve(mut self, cx: Context) -> Result<(), BoxError> {
        let mut failures = Failures::default();
        let chance = RandomState::new();
        loop {
            let began = cx.clock().now();
            // Inside the guard even when it is made.
            let serving = async { (self.make)().serve(cx.clone()).await };
            let outcome = Outcome::of(AssertUnwindSafe(serving).catch_unwind().await);
            let told = outcome.to_string();
            let error: BoxError = match outcome {
                Outcome::Failed(error) => error,
                Outcome::Panicked(_) => told.clone().into(),
                Outcome::Finished | Outcome::CutOff => return Ok(()),
            };
            let leaving = cx.status().leaving();
            if leaving.has_begun() {
                return Err(error);
            }
            let now = cx.clock().now();
            failures.note(&self.policy, now.saturating_duration_since(began), now);
            if let Some(failures) = failures.too_many(&self.policy) {
                return Err(GaveUp { failures, last: error }.into());
            }
            let pause = self.policy.pause_after(failures.in_a_row);
            let pause = self.policy.shorten(pause, fraction(&chance, failures.all));
            warn!(target: LOG, "{} {told}; starts again in {}", cx.name(), Seconds(pause));
            if leaving.race(cx.sleep(pause)).await.is_none() {
                return Ok(());
            }
            cx.register().count(|counts| counts.restarted += 1);
        }
    }
}

/// What is remembered of failures.
#[derive(Default)]
struct Failures {
    /// Since the service was last healthy.
    in_a_row: u32,
    all: u64,
    /// When those came that count.
    recent: VecDeque<Instant>,
}

impl Failures {
    /// Notes that the service has failed after it ran for so long.
    fn note(&mut self, policy: &RestartPolicy, ran: Duration, now: Instant) {
        if ran >= policy.healthy {
            self.in_a_row = 0;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.all += 1;
        if let Some((_, within)) = policy.give_up {
            let is_old = |at: &Instant| now.saturating_duration_since(*at) >= within;
            while self.recent.front().is_some_and(is_old) {
                self.recent.pop_front();
            }
            self.recent.push_back(now);
        }
    }

    fn too_many(&self, policy: &RestartPolicy) -> Option<u32> {
        let recent = u32::try_from(self.recent.len()).unwrap_or(u32::MAX);
        policy.give_up.filter(|(most, _)| recent >= *most).map(|_| recent)
    }
}

/// A number between 0.0 and 1.0, as good as random: std keys its hashes with random numbers.
fn fraction(chance: &RandomState, number: u64) -> f64 {
    let mut hasher = chance.build_hasher();
    hasher.write_u64(number);
    (hasher.finish() >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_never_overflow() {
        let policy = RestartPolicy::new();
        let pauses =
            |policy: RestartPolicy| [1, 2, 3, 9, 10, 40, u32::MAX].map(|n| policy.pause_after(n));
        let millis = [100, 200, 400, 25_600, 30_000, 30_000, 30_000];
        assert_eq!(pauses(policy), millis.map(Duration::from_millis));
        let endless = policy.pause(Duration::MAX, Duration::ZERO);
        assert_eq!(pauses(endless), [Duration::MAX; 7]);
        assert_eq!(endless.shorten(Duration::MAX, 0.0), Duration::MAX);
        let none = policy.pause(Duration::ZERO, Duration::ZERO);
        assert_eq!(pauses(none), [SHORTEST; 7]);
        assert_eq!(none.shorten(SHORTEST, 1.0), SHORTEST);
    }

    #[test]
    fn a_pause_is_shortened_by_no_more_than_the_jitter() {
        let pause = Duration::from_secs(2);
        for (jitter, shortest) in
            [(0.5, 1.0), (0.0, 2.0), (-1.0, 2.0), (f64::NAN, 2.0), (7.0, 0.001)]
        {
            let policy = RestartPolicy::new().jitter(jitter);
            assert_eq!(policy.shorten(pause, 0.0), pause);
            assert_eq!(policy.shorten(pause, 1.0), Duration::from_secs_f64(shortest), "{jitter}");
        }
    }

    #[test]
    fn chance_is_a_fraction_and_not_always_the_same() {
        let chance = RandomState::new();
        let drawn: Vec<_> = (0..1_000).map(|number| fraction(&chance, number)).collect();
        assert!(drawn.iter().all(|one| (0.0..1.0).contains(one)));
        let mean = drawn.iter().sum::<f64>() / 1_000.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
    }
}
