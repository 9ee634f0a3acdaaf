//! A client that is waited for keeps a pace: with the body of its request, and with its answer.

use std::time::Instant;

use super::{Doing, Talk};
use crate::hyper::http1::paces::Paced;
use crate::net::Stream;

impl<T: Stream> Talk<T> {
    /// A wait for the client is over, and another one may begin: keeps its pace.
    pub(super) fn pace(&self, before: Doing, doing: Doing) {
        if ![before, doing].iter().any(|it| matches!(it, Doing::Body(_) | Doing::Answer(_))) {
            return;
        }
        let now = self.connection.clock().now();
        self.paced(before, |paced, moved| paced.go_on(moved, now));
        // What was moved while nobody waited.
        self.paced(doing, |paced, moved| paced.go_on(moved, now));
        self.hurry(doing, now);
    }

    /// Shortens the limit to what the client's pace allows. Tells whether that is any time at all.
    fn hurry(&self, doing: Doing, now: Instant) -> bool {
        let time = match doing {
            Doing::Body(_) => self.limits.body_time,
            _ => self.limits.answer_time,
        };
        let Some(until) = self.paced(doing, |paced, _| paced.wait(now)).flatten() else {
            return true;
        };
        if now.checked_add(time).is_none_or(|limit| until < limit) {
            self.connection.set_limit_at(Some(until));
        }
        until > now
    }

    /// What the client is waited for, if it is, with the bytes of it that were moved.
    fn paced<R>(&self, doing: Doing, act: impl FnOnce(&mut Paced, u64) -> R) -> Option<R> {
        let mut in_flight = self.in_flight.borrow_mut();
        Some(match doing {
            Doing::Body(_) => {
                let request = in_flight.back_mut()?;
                let moved = self.limits.body_size.saturating_sub(request.upload.left());
                act(&mut request.paces(&self.limits).body, moved)
            }
            Doing::Answer(_) => {
                let request = in_flight.front_mut()?;
                let moved = self.sent.get().saturating_sub(self.wire.unreceived());
                act(&mut request.paces(&self.limits).answer, moved)
            }
            Doing::Resting | Doing::Head | Doing::Handling => return None,
        })
    }

    /// Whether the client has taken any of an answer though nothing could be written: the system has room for more
    /// only when a third of its buffer is empty. If so, and if it is not too slow, it gets more time.
    pub(in crate::hyper::http1) fn takes_on(&self, doing: Doing) -> bool {
        let now = self.connection.clock().now();
        if self.paced(doing, |paced, moved| paced.go_on(moved, now)) != Some(true) {
            return false;
        }
        self.connection.set_limit(self.limits.answer_time);
        self.hurry(doing, now)
    }
}
