//! A clock that a test moves by hand.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use slab::Slab;
use smol::LocalExecutor;

use super::step::{lock, settle};
use crate::base::clock::{Clock, Sleep};

/// A clock that stands still until it is [advanced](ManualClock::advance). Clones share the time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    now: Instant,
    sleepers: Slab<Sleeper>,
    /// How many sleeps there have been.
    sleeps: u64,
}

#[derive(Debug)]
struct Sleeper {
    at: Instant,
    number: u64,
    waker: Waker,
}

impl ManualClock {
    /// A clock that shows some time.
    #[expect(clippy::new_without_default, reason = "there is no default time")]
    pub fn new() -> ManualClock {
        let shared = Shared { now: Instant::now(), sleepers: Slab::new(), sleeps: 0 };
        ManualClock { shared: Arc::new(Mutex::new(shared)) }
    }

    /// Moves the time on and wakes every sleep that is over: as a system does, in the order of the
    /// instants, and at one instant in the order in which the sleeps began.
    pub fn advance(&self, by: Duration) {
        let mut shared = lock(&self.shared);
        shared.now += by;
        let sleepers = shared.sleepers.iter().map(|(_, sleeper)| sleeper);
        let due = sleepers.filter(|sleeper| sleeper.at <= shared.now);
        let mut due: Vec<_> =
            due.map(|sleeper| (sleeper.at, sleeper.number, sleeper.waker.clone())).collect();
        drop(shared);
        due.sort_by_key(|(at, number, _)| (*at, *number));
        due.into_iter().for_each(|(_, _, waker)| waker.wake());
    }

    /// Moves the time on to where the next sleep ends. `None`: nobody sleeps, and it stands still.
    pub fn advance_to_next(&self) -> Option<Instant> {
        let shared = lock(&self.shared);
        let now = shared.now;
        // A sleep that is over was woken already, even if its task has not been polled since.
        let sleepers = shared.sleepers.iter().map(|(_, sleeper)| sleeper.at);
        let next = sleepers.filter(|at| *at > now).min()?;
        drop(shared);
        self.advance(next - now);
        Some(next)
    }

    /// How many sleeps are under way.
    pub fn sleepers(&self) -> usize {
        lock(&self.shared).sleepers.len()
    }

    /// Moves the time on in steps of 50 ms and lets every task run after each.
    pub fn advance_and_settle(&self, by: Duration, executor: &LocalExecutor<'_>) {
        const STEP: Duration = Duration::from_millis(50);
        let mut left = by;
        while !left.is_zero() {
            let step = left.min(STEP);
            self.advance(step);
            settle(executor);
            left -= step;
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        lock(&self.shared).now
    }

    fn sleep_until(&self, at: Instant) -> Sleep {
        Box::pin(ManualSleep { clock: self.clone(), at, key: None })
    }
}

struct ManualSleep {
    clock: ManualClock,
    at: Instant,
    key: Option<usize>,
}

impl Future for ManualSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let shared = self.clock.shared.clone();
        let mut shared = lock(&shared);
        if shared.now >= self.at {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        match self.key {
            Some(key) => shared.sleepers[key].waker = waker,
            None => {
                let (at, number) = (self.at, shared.sleeps);
                shared.sleeps += 1;
                self.key = Some(shared.sleepers.insert(Sleeper { at, number, waker }));
            }
        }
        Poll::Pending
    }
}

impl Drop for ManualSleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            lock(&self.clock.shared).sleepers.remove(key);
        }
    }
}
