//! Something that changes again and again: each change is a [`Shutdown`] of its own.
//!
//! It is thread-safe, since gRPC's services have to be.

use std::future::Future;
use std::mem::replace;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::shutdown::{Shutdown, Trigger, shutdown};

/// The next change: it shuts down when the change comes.
pub(super) struct Changes(Mutex<(Trigger, Shutdown)>);

impl Changes {
    pub(super) fn new() -> Changes {
        Changes(Mutex::new(shutdown()))
    }

    /// Waits for the next change, counted from this call on. Cancel-safe.
    pub(super) fn next(&self) -> impl Future<Output = ()> + Send + 'static {
        let change = self.lock().1.clone();
        async move { change.begun().await }
    }

    /// Wakes all that wait.
    pub(super) fn tell(&self) {
        // In a line of its own, so that nobody is woken while it is locked.
        let (change, _) = replace(&mut *self.lock(), shutdown());
        change.shut_down();
    }

    fn lock(&self) -> MutexGuard<'_, (Trigger, Shutdown)> {
        // Nothing in here can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
