//! Keeps the time limits of all connections: one task, so that none of them owns a timer.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use async_channel::Receiver;
use futures_lite::FutureExt;

use crate::clock::Clock;
use crate::status::Status;

/// How finely time limits are kept: limits that pass closer together than this share one wake-up.
const STEP: Duration = Duration::from_millis(100);

/// Looks at all time limits, again and again. Never done.
///
/// No limit is shorter than `shortest_limit`. So if we sleep at most that long, a limit that is set
/// while we sleep cannot be missed. We are woken when `shortest_limit` itself shrinks.
pub(super) async fn sweep(
    status: &Status,
    clock: &dyn Clock,
    shorter_limits: Receiver<()>,
) -> Infallible {
    loop {
        let now = clock.now();
        let (mut next, mut shortest) = (None, Duration::MAX);
        for slot in status.slots() {
            next = slot.register().expire(now).into_iter().chain(next).min();
            shortest = shortest.min(slot.register().shortest_limit());
        }
        let latest = now.checked_add(shortest.max(STEP));
        let at = next.into_iter().chain(latest).min();
        let sleep = async {
            match at {
                Some(at) => clock.sleep_until(at.max(now + STEP)).await,
                None => pending().await,
            }
        };
        let told = async {
            if shorter_limits.recv().await.is_err() {
                pending().await // every service has ended
            }
        };
        told.or(sleep).await;
    }
}
