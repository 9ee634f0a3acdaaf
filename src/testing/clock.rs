//! A clock that a test moves by hand.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use slab::Slab;
use smol::LocalExecutor;

use super::settle;
use crate::clock::{Clock, Sleep};

/// A clock that stands still until it is [advanced](ManualClock::advance). Clones share the time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    now: Rc<Cell<Instant>>,
    sleepers: Rc<RefCell<Slab<(Instant, Waker)>>>,
}

impl ManualClock {
    /// A clock that shows some time.
    #[expect(clippy::new_without_default, reason = "there is no default time")]
    pub fn new() -> ManualClock {
        ManualClock { now: Rc::new(Cell::new(Instant::now())), sleepers: Rc::default() }
    }

    /// Moves the time on and wakes whoever has slept long enough.
    pub fn advance(&self, by: Duration) {
        let now = self.now.get() + by;
        self.now.set(now);
        let sleepers = self.sleepers.borrow();
        let due = sleepers.iter().filter(|(_, (at, _))| *at <= now);
        let due: Vec<Waker> = due.map(|(_, (_, waker))| waker.clone()).collect();
        drop(sleepers);
        due.into_iter().for_each(Waker::wake);
    }

    /// Moves the time on to where the next sleep ends. `None`: nobody sleeps, and it stands still.
    pub fn advance_to_next(&self) -> Option<Instant> {
        let now = self.now.get();
        let sleepers = self.sleepers.borrow();
        // Who has slept long enough was woken already, and may have better things to do.
        let next = sleepers.iter().map(|(_, (at, _))| *at).filter(|at| *at > now).min()?;
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
        let sleeper = (self.at, cx.waker().clone());
        match self.key {
            Some(key) => self.clock.sleepers.borrow_mut()[key] = sleeper,
            None => self.key = Some(self.clock.sleepers.clone().borrow_mut().insert(sleeper)),
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
