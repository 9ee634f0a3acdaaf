//! Time as a parameter: what the library knows of it, it asks a [`Clock`].
//!
//! [`SystemClock`] is the real one; `testing::ManualClock` stands still until a test moves it.

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use smol::Timer;

/// A sleep, as a [`Clock`] hands it out.
pub type Sleep = Pin<Box<dyn Future<Output = ()>>>;

/// A source of time.
pub trait Clock {
    /// The time now.
    fn now(&self) -> Instant;

    /// A future that is done once [`now`](Clock::now) has reached `at`.
    fn sleep_until(&self, at: Instant) -> Sleep;
}

/// The monotonic clock of the system, with timers of async-io.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, at: Instant) -> Sleep {
        Box::pin(async move {
            Timer::at(at).await;
        })
    }
}
