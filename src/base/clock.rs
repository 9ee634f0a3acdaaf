//! Time as a parameter: what the library knows of it, it asks a [`Clock`].
//!
//! [`SystemClock`] is the real one; `testing::ManualClock` stands still until a test moves it.

use std::cell::Cell;
use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Instant;

use smol::Timer;

/// A sleep, as a [`Clock`] hands it out. It is thread-safe, so that a handler that must be can hold it.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

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

/// Sleeps; for ever if there is no such instant.
pub(crate) async fn sleep_until(clock: &dyn Clock, at: Option<Instant>) {
    match at {
        Some(at) => clock.sleep_until(at).await,
        None => pending().await,
    }
}

/// When something last happened; at first, when this was made.
pub(crate) struct Stamp {
    clock: Rc<dyn Clock>,
    at: Cell<Instant>,
}

impl Stamp {
    pub(crate) fn new(clock: Rc<dyn Clock>) -> Rc<Stamp> {
        let at = Cell::new(clock.now());
        Rc::new(Stamp { clock, at })
    }

    /// It happens now.
    pub(crate) fn renew(&self) {
        self.at.set(self.clock.now());
    }

    pub(crate) fn get(&self) -> Instant {
        self.at.get()
    }
}
