//! What most tests begin with: a supervisor whose signals, time and network the test moves.

use std::time::Duration;

use adieu::testing::{ManualClock, settle};
use adieu::{Listener, Report, Signal, Supervisor};
use async_channel::{Sender, unbounded};
use futures_lite::future;
use smol::{LocalExecutor, Task};

/// A supervisor under test: signals come from a channel, the time from a manual clock.
pub struct Bench {
    pub executor: LocalExecutor<'static>,
    pub clock: ManualClock,
    pub signals: Sender<Signal>,
    pub run: Task<Report>,
}

impl Bench {
    pub fn start(set_up: impl FnOnce(Supervisor) -> Supervisor) -> Bench {
        let executor = LocalExecutor::new();
        let clock = ManualClock::new();
        let (signals, received) = unbounded();
        let run = executor.spawn(set_up(Supervisor::new().clock(clock.clone())).run(received));
        settle(&executor);
        Bench { executor, clock, signals, run }
    }

    pub fn signal(&self, signal: Signal) {
        self.signals.try_send(signal).expect("the run listens");
        settle(&self.executor);
    }

    pub fn pass(&self, time: Duration) {
        self.clock.advance_and_settle(time, &self.executor);
    }

    pub fn report(self) -> Report {
        settle(&self.executor);
        assert!(self.run.is_finished(), "the run is not over");
        future::block_on(self.run)
    }
}

/// Whether a connection waits in the listener's accept queue; it is taken out.
pub fn accepts(listener: &mut impl Listener) -> bool {
    let accepted = std::future::poll_fn(|cx| listener.poll_accept(cx));
    future::block_on(future::poll_once(accepted)).is_some_and(|accepted| accepted.is_ok())
}
