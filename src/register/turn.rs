//! Turns of the loop: who has the thread, and for how long.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use log::warn;
use pin_project_lite::pin_project;

use super::Register;
use crate::words::{LOG, Seconds};

/// A turn that takes longer than this is worth a line: for so long nobody else was served.
const LONG: Duration = Duration::from_secs(1);

impl Register {
    /// Begins a turn of this service; it ends when what is returned is dropped.
    ///
    /// Its time is taken only if it is spent on work. Most turns of a server's connections look for bytes, and
    /// the first thing that they do with them is to ask for the time.
    pub(crate) fn turn(&self, what: Option<&dyn Display>) -> Turn<'_> {
        self.polled.begin(self.number);
        self.turn_began.set(None);
        if let Some(what) = what {
            self.turns_to(what);
        }
        Turn { register: self }
    }

    /// Says what the rest of this turn is spent on.
    pub(crate) fn turns_to(&self, what: &dyn Display) {
        self.polled.is(what);
        self.turn_works();
    }

    /// From here on at the latest this turn is spent on work.
    pub(crate) fn turn_works(&self) {
        if self.turn_began.get().is_none() {
            self.turn_began.set(Some(self.clock.now()));
        }
    }

    /// The same, at a time that was asked for another reason.
    pub(crate) fn turn_works_since(&self, now: Instant) {
        if self.turn_began.get().is_none() {
            self.turn_began.set(Some(now));
        }
    }

    /// Work whose every poll is a turn spent on `what`.
    pub(crate) fn in_turns<W: Display, F: Future>(
        self: &Rc<Self>,
        what: Option<W>,
        work: F,
    ) -> impl Future<Output = F::Output> + use<W, F> {
        InTurns { work, what, register: self.clone() }
    }
}

/// A turn of the loop.
pub(crate) struct Turn<'a> {
    register: &'a Register,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Register { clock, polled, turn_began, .. } = self.register;
        let began = turn_began.get();
        let took =
            began.map_or(Duration::ZERO, |began| clock.now().saturating_duration_since(began));
        if took > LONG {
            self.register.count(|counts| counts.blocked += 1);
            let who: String = polled.get().iter().flat_map(|words| words.chars()).collect();
            warn!(target: LOG, "{who} blocked the thread for {}", Seconds(took));
        }
        polled.end();
    }
}

pin_project! {
    /// Written by hand: an async block would make room twice for the work in it.
    struct InTurns<W, F> {
        #[pin]
        work: F,
        what: Option<W>,
        register: Rc<Register>,
    }
}

impl<W: Display, F: Future> Future for InTurns<W, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _turn = this.register.turn(this.what.as_ref().map(|what| what as &dyn Display));
        this.register.turn_works();
        this.work.poll(cx)
    }
}
