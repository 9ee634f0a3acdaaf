//! Says once a second whom the drain waits for.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use log::info;

use crate::clock::Clock;
use crate::shutdown::Phase;
use crate::status::Status;
use crate::words::{LOG, Left};

/// How many stragglers the log names each second.
const LOGGED_EACH_SECOND: usize = 5;

/// How long ago a stage must have been told for it to be worth a line.
const JUST_NOW: Duration = Duration::from_millis(100);

/// Says, at each whole second from the cause on, who is left; not before the drain. Never done.
pub(super) async fn watch(status: &Status, clock: &dyn Clock, cause: Instant) -> Infallible {
    loop {
        let changed = status.changed();
        if status.phase() >= Phase::Draining {
            break;
        }
        changed.await;
    }
    loop {
        // From now and not from the line before: after a stop nothing is caught up.
        let elapsed = clock.now().saturating_duration_since(cause);
        clock.sleep_until(cause + Duration::from_secs(elapsed.as_secs() + 1)).await;
        say_who_is_left(status, clock.now());
    }
}

fn say_who_is_left(status: &Status, now: Instant) {
    let mut said = false;
    for (number, stage) in status.stages().iter().enumerate() {
        let left = status.until(number).map(|until| until.saturating_duration_since(now));
        // A stage that was told just now, or is about to be cut off, is no news.
        let is_new = stage.told().is_none_or(|told| now < told + JUST_NOW);
        if is_new || left == Some(Duration::ZERO) {
            continue;
        }
        for slot in stage.services().iter().filter(|slot| slot.is_waited_for()) {
            info!(target: LOG, "{}: {}{}", slot.name(), slot.waits_for(), Left(left));
            said = true;
        }
    }
    if !said {
        return;
    }
    let (named, more) = status.stragglers(LOGGED_EACH_SECOND);
    for straggler in named {
        info!(target: LOG, "waiting for {straggler}");
    }
    if more > 0 {
        info!(target: LOG, "and for {more} more");
    }
}
