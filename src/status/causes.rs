//! The causes that come from inside a run: code asks, a service ends, a time is over.

use std::future::pending;
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender, unbounded};
use futures_lite::FutureExt;

use super::readiness::Readiness;
use crate::base::clock::{Clock, sleep_until};
use crate::report::Cause;
use crate::shutdown::{Phase, Shutdown, Trigger, shutdown};
use crate::stage::Stage;

/// The shortest idle time. While somebody is connected, the run looks once in each idle time whether they still are.
const SHORTEST: Duration = Duration::from_millis(100);

/// The causes that come from inside, and the times that are one when they are over.
pub(crate) struct Causes {
    /// Begins when a trigger is pulled. It keeps a trigger of its own, so that dropping every other one does
    /// not look like a request.
    requested: (Trigger, Shutdown),
    /// Services that fail and main services that end, as they do.
    ended: (Sender<Cause>, Receiver<Cause>),
    /// How long a run may take to be ready, and how long it may be idle; `None` is for ever.
    ready_within: Option<Duration>,
    idle: Option<Duration>,
}

impl Causes {
    pub(crate) fn new() -> Causes {
        Causes { requested: shutdown(), ended: unbounded(), ready_within: None, idle: None }
    }

    pub(crate) fn set_ready_within(&mut self, time: Duration) {
        self.ready_within = Some(time);
    }

    pub(crate) fn set_idle(&mut self, time: Duration) {
        self.idle = Some(time.max(SHORTEST));
    }

    /// Begins the shutdown from code.
    pub(crate) fn trigger(&self) -> &Trigger {
        &self.requested.0
    }

    /// A service has ended in a way that is a cause.
    pub(crate) fn add(&self, cause: Cause) {
        // Unbounded, and both ends are here.
        let _ = self.ended.0.try_send(cause);
    }

    /// Waits for a trigger or for such an end.
    pub(crate) async fn next(&self) -> Cause {
        let requested = async {
            self.requested.1.begun().await;
            Cause::Trigger
        };
        let ended = async {
            match self.ended.1.recv().await {
                Ok(cause) => cause,
                Err(_closed) => pending().await,
            }
        };
        requested.or(ended).await
    }

    /// Waits until a service is not ready in time, or nobody has come for too long. `first` is the stage that
    /// keeps the run alive.
    pub(super) async fn overdue(
        &self,
        clock: &dyn Clock,
        readiness: &Readiness,
        first: &Stage,
    ) -> Cause {
        self.not_ready(clock, readiness).or(self.idle(clock, readiness, first)).await
    }

    async fn not_ready(&self, clock: &dyn Clock, readiness: &Readiness) -> Cause {
        let at = self.ready_within.and_then(|time| clock.now().checked_add(time));
        sleep_until(clock, at).await;
        match readiness.phase() {
            Phase::Starting => Cause::NotReady(readiness.held()),
            _ => pending().await,
        }
    }

    async fn idle(&self, clock: &dyn Clock, readiness: &Readiness, first: &Stage) -> Cause {
        let Some(limit) = self.idle else { return pending().await };
        loop {
            let changed = readiness.ready().changed();
            let Some(ready_since) = readiness.since() else {
                changed.await;
                continue;
            };
            let now = clock.now();
            // If somebody is connected now, the idle time begins now at the earliest.
            let quiet = first.services().iter().map(|slot| slot.quiet_since().unwrap_or(now));
            let due = quiet.fold(ready_since, Instant::max).checked_add(limit);
            if due.is_some_and(|due| due <= now) {
                return Cause::Idle;
            }
            sleep_until(clock, due).await;
        }
    }
}
