//! The signals of a run: which of them ask for something new.

use std::future::pending;
use std::pin::Pin;
use std::time::Instant;

use async_signal::Signal;
use futures_lite::{Stream, StreamExt};

use super::terms::PAIR;
use crate::base::clock::Clock;

/// The signals that a run is sent, and when the first one came.
pub(crate) struct Requests<'a, S> {
    signals: Pin<&'a mut S>,
    clock: &'a dyn Clock,
    first: Option<Instant>,
}

impl<'a, S: Stream<Item = Signal>> Requests<'a, S> {
    pub(crate) fn new(signals: Pin<&'a mut S>, clock: &'a dyn Clock) -> Requests<'a, S> {
        Requests { signals, clock, first: None }
    }

    /// Waits for the first signal.
    pub(crate) async fn first(&mut self) -> Signal {
        let signal = self.next().await;
        self.first = Some(self.clock.now());
        signal
    }

    /// Waits for a signal that asks not to wait any more: SIGQUIT, or, if a second signal `aborts`,
    /// one that comes later than the pair of the first (rule 7).
    ///
    /// If the run ends for another reason than a signal, the first signal asks for what is happening
    /// already.
    pub(crate) async fn impatient(&mut self, aborts: bool) -> Signal {
        loop {
            let signal = self.next().await;
            let now = self.clock.now();
            let first = *self.first.get_or_insert(now);
            if signal == Signal::Quit || (aborts && now >= first + PAIR) {
                return signal;
            }
        }
    }

    /// The next signal; never, once there can be none any more.
    async fn next(&mut self) -> Signal {
        match self.signals.next().await {
            Some(signal) => signal,
            None => pending().await,
        }
    }
}
