//! A clock that a test moves by hand.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use slab::Slab;
use smol::LocalExecutor;

use super::step::settle;
use crate::base::clock::{Clock, Sleep};

/// A clock that stands still until it is [advanced](ManualClock::advance). Clones share the time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    now: Rc<Cell<Instant>>,
    sleepers: Rc<RefCell<Slab<Sleeper>>>,
    /// How many sleeps there have been.
    sleeps: Rc<Cell<u64>>,
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
        let now = Rc::new(Cell::new(Instant::now()));
        ManualClock { now, sleepers: Rc::default(), sleeps: Rc::default() }
    }

    /// Moves the time on and wakes every sleep that is over: as a system does, in the order of the
    /// instants, and at one instant in the order in which the sleeps began.
    pub fn advance(&self, by: Duration) {
        let now = self.now.get() + by;
        self.now.set(now);
        let sleepers = self.sleepers.borrow();
        let due = sleepers.iter().map(|(_, sleeper)| sleeper).filter(|sleeper| sleeper.at <= now);
        let mut due: Vec<_> =
            due.map(|sleeper| (sleeper.at, sleeper.number, sleeper.waker.clone())).collect();
        drop(sleepers);
        due.sort_by_key(|(at, number, _)| (*at, *number));
        due.into_iter().for_each(|(_, _, waker)| waker.wake());
    }

    /// Moves the time on to where the next sleep ends. `None`: nobody sleeps, and it stands still.
    pub fn advance_to_next(&self) -> Option<Instant> {
        let now = self.now.get();
        let sleepers = self.sleepers.borrow();
        // A sleep that is over was woken already, even if its task has not been polled since.
        let next = sleepers.iter().map(|(_, sleeper)| sleeper.at).filter(|at| *at > now).min()?;
        drop(sleepers);
        self.advance(next - now);
        Some(next)
    }

    /// How many sleeps are under way.
    pub fn sleepers(&self) -> usize {
        self.sleepers.borrow().len()
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
        self.now.get()
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
        if self.clock.now() >= self.at {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let clock = self.clock.clone();
        let mut sleepers = clock.sleepers.borrow_mut();
        match self.key {
            Some(key) => sleepers[key].waker = waker,
            None => {
                let number = clock.sleeps.replace(clock.sleeps.get() + 1);
                self.key = Some(sleepers.insert(Sleeper { at: self.at, number, waker }));
            }
        }
        Poll::Pending
    }
}

impl Drop for ManualSleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.clock.sleepers.borrow_mut().remove(key);
        }
    }
}
