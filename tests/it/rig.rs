//! What most tests begin with: a supervisor whose signals, time and network the test moves.

use std::time::Duration;

use adieu::testing::{ManualClock, MemoryStream, Network, memory, settle};
use adieu::{Error, Listener, Protocol, Report, Server, Signal, Supervisor};
use async_channel::{Sender, unbounded};
use futures_lite::{future, stream};
use smol::{LocalExecutor, Task};

use crate::bound;

/// A supervisor under test: signals come from a channel, the time from a manual clock.
pub struct Rig {
    pub executor: LocalExecutor<'static>,
    pub clock: ManualClock,
    pub signals: Sender<Signal>,
    pub run: Task<Result<Report, Error>>,
}

impl Rig {
    pub fn start(set_up: impl FnOnce(Supervisor) -> Supervisor) -> Rig {
        Rig::start_by(ManualClock::new(), set_up)
    }

    /// By a clock that the services know, too.
    pub fn start_by(clock: ManualClock, set_up: impl FnOnce(Supervisor) -> Supervisor) -> Rig {
        let executor = LocalExecutor::new();
        let (signals, received) = unbounded();
        let run = executor.spawn(set_up(Supervisor::new().clock(clock.clone())).run(received));
        settle(&executor);
        Rig { executor, clock, signals, run }
    }

    /// Sends a signal and lets everybody act on it.
    pub fn signal(&self, signal: Signal) {
        self.send(signal);
        settle(&self.executor);
    }

    /// Sends a signal that nobody has seen yet when this returns. The run is woken before whoever is
    /// woken later.
    pub fn send(&self, signal: Signal) {
        self.signals.try_send(signal).expect("the run listens");
    }

    pub fn pass(&self, time: Duration) {
        self.clock.advance_and_settle(time, &self.executor);
    }

    pub fn report(self) -> Report {
        settle(&self.executor);
        assert!(self.run.is_finished(), "the run is not over");
        future::block_on(self.run).expect("a run that could begin")
    }
}

/// Every client's first request.
pub const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// A supervisor of one service, which speaks `protocol`, and the network in which its clients find it.
pub fn serve(name: &str, protocol: impl Protocol<MemoryStream>) -> (Rig, Network) {
    let (listener, network) = memory();
    (Rig::start(|s| s.service(name, Server::new(listener, protocol))), network)
}

/// A client that is accepted.
pub fn connect(rig: &Rig, network: &Network) -> MemoryStream {
    let client = network.connect().expect("it listens");
    settle(&rig.executor);
    client
}

/// A client that is accepted, and then sends this.
pub fn ask(rig: &Rig, network: &Network, request: &[u8]) -> MemoryStream {
    let client = connect(rig, network);
    client.send(request);
    settle(&rig.executor);
    client
}

/// What a client has received since the last look.
pub fn text(client: &MemoryStream) -> String {
    String::from_utf8(client.received()).expect("it is text")
}

/// Runs a supervisor on real sockets while `client` does its part.
pub fn run_with<T>(supervisor: Supervisor, client: impl Future<Output = T>) -> (T, Report) {
    let (seen, report) = bound::block_on(future::zip(client, supervisor.run(stream::pending())));
    (seen, report.expect("a run that could begin"))
}

/// Whether a connection waits in the listener's accept queue; it is taken out.
pub fn accepts(listener: &mut impl Listener) -> bool {
    let accepted = std::future::poll_fn(|cx| listener.poll_accept(cx));
    future::block_on(future::poll_once(accepted)).is_some_and(|accepted| accepted.is_ok())
}
