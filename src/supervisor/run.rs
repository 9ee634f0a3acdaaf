//! A run: it waits for the first cause to stop, then takes the steps of an orderly end until they are
//! done, or until a signal asks not to wait any longer.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use async_signal::Signal;
use futures_lite::{FutureExt, Stream};
use log::info;
use smol::LocalExecutor;

use crate::base::clock::Clock;
use crate::process::{Requests, Terms};
use crate::report::{Cause, Ending, Report, Straggler};
use crate::shutdown::Phase;
use crate::stage::Stage;
use crate::status::Status;
use crate::words::{LOG, Seconds};

/// How many turns of the loop a stage gets when its time is over, for what ends without waiting, and
/// how long they may take.
///
/// A turn polls every task that can go on. It takes one to see the shutdown, one to accept what is in the
/// queue, and then one for each 16 KiB of a body that has arrived and for each request in a pipeline:
/// what a socket's buffer holds is done in fewer than a thousand. There is a limit because a handler that
/// wakes itself for ever, or a client that reads fast, would always go on.
const LAST_TURNS: (usize, Duration) = (1_000, Duration::from_millis(100));

/// A run under way.
pub(super) struct Run {
    pub(super) executor: Rc<LocalExecutor<'static>>,
    pub(super) status: Status,
    pub(super) terms: Terms,
    pub(super) lame_duck: Duration,
    pub(super) spread: bool,
    pub(super) stragglers: RefCell<Vec<Straggler>>,
}

impl Run {
    pub(super) async fn drive(&self, signals: Pin<&mut impl Stream<Item = Signal>>) -> Report {
        let mut requests = Requests::new(signals, self.clock());
        self.turn().await; // in which each service begins
        self.status.start();
        let cause = self.first_cause(&mut requests).await;
        let ending = self.begin_ending(cause);
        let forced = self
            .orderly_end(ending)
            .or(async { Some(requests.impatient(self.terms.second_signal_aborts).await) })
            .or(self.status.watch(ending))
            .await;
        if forced.is_some() {
            self.end_now().await;
        }
        let stragglers = self.stragglers.take();
        let aborted = ending.aborted(forced, !stragglers.is_empty());
        self.status.conclude(ending, stragglers, aborted, self.terms.exit_codes)
    }

    async fn first_cause(&self, requests: &mut Requests<'_, impl Stream<Item = Signal>>) -> Cause {
        let signal = async { Cause::Signal(requests.first().await) };
        let all_finished = async {
            self.first_stage().ended().await;
            Cause::AllFinished
        };
        // What comes from inside before "all finished": the last service may end by failing. And nobody is
        // late, or idle, if there is another cause.
        let inside = self.status.causes().next();
        signal.or(inside).or(all_finished).or(self.status.overdue()).await
    }

    /// From here on the run is not ready, and the deadline is set.
    fn begin_ending(&self, cause: Cause) -> &Ending {
        let grace = match cause {
            Cause::Signal(Signal::Quit) => Duration::ZERO,
            _ => self.terms.grace,
        };
        let ending = Ending::new(cause, self.clock().now(), grace, self.lame_duck);
        let ending = self.status.begin_ending(ending);
        info!(target: LOG, cause:% = ending.cause(); "{} begins the shutdown", ending.cause());
        ending
    }

    /// The steps, in order.
    async fn orderly_end(&self, ending: &Ending) -> Option<Signal> {
        self.lame_duck(ending).await;
        self.status.enter(Phase::Draining);
        let mut said = false;
        for (number, stage) in self.status.stages().iter().enumerate() {
            if stage.has_ended() {
                continue;
            }
            stage.drain(self.clock().now());
            if !std::mem::replace(&mut said, true) {
                // After the telling, since a log line may block.
                info!(target: LOG, "shutting down servers, please wait...");
            }
            stage.ended().or(self.status.sleep_until(self.status.until(number))).await;
            self.last_turns(|| stage.has_ended()).await;
            self.cut_off(stage).await;
        }
        None
    }

    async fn lame_duck(&self, ending: &Ending) {
        let Some(end) = ending.lame_duck_end() else { return };
        self.status.enter(Phase::LameDuck);
        self.first_stage().enter(Phase::LameDuck);
        if self.spread {
            self.first_stage().spread(end.saturating_duration_since(self.clock().now()));
        }
        info!(target: LOG, "lame duck for {}, not ready any more", Seconds(ending.lame_duck()));
        // It is part of the first stage's time.
        let over =
            self.status.sleep_until(Some(end)).or(self.status.sleep_until(self.status.until(0)));
        self.first_stage().ended().or(over).await;
    }

    /// Tells everybody, and gives them the turns that it takes to end without waiting.
    async fn end_now(&self) {
        self.status.rush(self.clock().now());
        let stages = self.status.stages();
        stages.iter().for_each(|stage| stage.drain(self.clock().now()));
        self.last_turns(|| stages.iter().all(Stage::has_ended)).await;
        for stage in stages {
            self.cut_off(stage).await;
        }
    }

    /// Drops what is left of a stage, by name.
    async fn cut_off(&self, stage: &Stage) {
        let cut_off = stage.cut_off();
        if !cut_off.is_empty() {
            self.stragglers.borrow_mut().extend(cut_off);
            // In the first turn those that have a last word say it; in the second sockets close and destructors run.
            self.turn().await;
            stage.drop_rest();
            self.turn().await;
        }
    }

    async fn last_turns(&self, is_over: impl Fn() -> bool) {
        let mut turns = 0..LAST_TURNS.0;
        let end = self.clock().now() + LAST_TURNS.1;
        while turns.next().is_some() && !is_over() && self.clock().now() < end {
            self.turn().await;
        }
    }

    /// Lets every task have its turn that can go on now.
    async fn turn(&self) {
        self.executor.spawn(async {}).await;
    }

    fn first_stage(&self) -> &Stage {
        self.status.stages().first().expect("there is a stage from the beginning")
    }

    fn clock(&self) -> &dyn Clock {
        &**self.status.clock()
    }
}
