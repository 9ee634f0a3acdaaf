//! What the testing kit is made with: steps of an executor, and what is shared between two ends.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use smol::LocalExecutor;

/// Runs every task until none can go on by itself.
pub fn settle(executor: &LocalExecutor<'_>) {
    while executor.try_tick() {}
}

pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test that panicked with the lock has failed already.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
