//! What a test of a service begins with: a run whose signals, time and network the test moves.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use async_channel::{Sender, unbounded};
use smol::{LocalExecutor, Task};

use super::clock::ManualClock;
use super::network::{MemoryListener, Network, memory};
use super::step::settle;
use super::stream::MemoryStream;
use crate::error::Error;
use crate::process::Signal;
use crate::report::Report;
use crate::server::{Protocol, Server};
use crate::supervisor::Supervisor;

/// A run under test, with the clock, the network and the signals that it goes by.
///
/// Each step lets everybody act on it before it returns, by themselves: a test takes a step and looks. The
/// time stands still but for [`pass`](Rig::pass).
///
/// ```
/// # #[cfg(feature = "http")] {
/// use std::time::Duration;
///
/// use adieu::Signal;
/// use adieu::http::http_types::{Request, Response, Result};
/// use adieu::http::{Exchange, Http};
/// use adieu::testing::Rig;
///
/// async fn slow(_: Request, exchange: Exchange) -> Result<Response> {
///     exchange.sleep(Duration::from_secs(3)).await;
///     Ok("done".into())
/// }
///
/// let rig = Rig::serve("web", Http::new(slow));
/// let client = rig.ask(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n");
/// rig.signal(Signal::Term);
/// assert_eq!(client.text(), "");
/// rig.pass(Duration::from_secs(3));
/// assert!(client.text().ends_with("done"));
/// drop(client);
/// assert_eq!(rig.report().exit_status(), 0);
/// # }
/// ```
#[non_exhaustive]
pub struct Rig {
    /// Where all tasks run.
    pub executor: Rc<LocalExecutor<'static>>,
    /// The time of the run.
    pub clock: ManualClock,
    /// Where clients find the listener that the rig has made.
    pub network: Network,
    /// Where the run takes its signals from.
    pub signals: Sender<Signal>,
    /// The run itself. It is over when this is finished.
    pub run: Task<Result<Report, Error>>,
}

impl Rig {
    /// Starts what `set_up` adds to a supervisor: services without a socket, or with listeners that the
    /// test has made with [`memory`].
    pub fn start(set_up: impl FnOnce(Supervisor) -> Supervisor) -> Rig {
        Rig::serve_with(|supervisor, _nobody_listens| set_up(supervisor))
    }

    /// The same, by a clock that the services have already.
    pub fn start_by(clock: ManualClock, set_up: impl FnOnce(Supervisor) -> Supervisor) -> Rig {
        Rig::begin(clock, |supervisor, _nobody_listens| set_up(supervisor))
    }

    /// Starts one service that speaks `protocol` on the rig's own network.
    pub fn serve(name: &str, protocol: impl Protocol<MemoryStream>) -> Rig {
        Rig::serve_with(|supervisor, listener| {
            supervisor.service(name, Server::new(listener, protocol))
        })
    }

    /// Starts what `set_up` adds to a supervisor, with a listener on the rig's own network.
    ///
    /// ```
    /// # #[cfg(feature = "http")] {
    /// use std::time::Duration;
    /// use adieu::{Server, http::Http, testing::Rig};
    /// # async fn hello(_: adieu::http::http_types::Request) -> adieu::http::http_types::Result<String> {
    /// #     Ok("hello".into())
    /// # }
    /// # let hello = async |request| Ok(hello(request).await?.into());
    ///
    /// let rig = Rig::serve_with(|supervisor, listener| {
    ///     let server = Server::new(listener, Http::new(hello)).max_connections(1);
    ///     supervisor.grace(Duration::from_secs(5)).service("web", server)
    /// });
    /// # let _ = rig;
    /// # }
    /// ```
    pub fn serve_with(set_up: impl FnOnce(Supervisor, MemoryListener) -> Supervisor) -> Rig {
        Rig::begin(ManualClock::new(), set_up)
    }

    fn begin(
        clock: ManualClock,
        set_up: impl FnOnce(Supervisor, MemoryListener) -> Supervisor,
    ) -> Rig {
        let executor = Rc::new(LocalExecutor::new());
        let (listener, network) = memory();
        let (signals, received) = unbounded();
        let supervisor = set_up(Supervisor::new().clock(clock.clone()), listener);
        let run = executor.spawn(supervisor.run(received));
        settle(&executor);
        Rig { executor, clock, network, signals, run }
    }

    /// Lets everybody act until nobody can go on by itself. The other steps do so too.
    pub fn settle(&self) {
        settle(&self.executor);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.send(signal);
        self.settle();
    }

    /// Sends a signal that nobody has seen yet when this returns. The run is woken before whoever is
    /// woken later.
    pub fn send(&self, signal: Signal) {
        self.signals.try_send(signal).expect("the run listens");
    }

    /// Has time pass, in steps of 50 ms.
    pub fn pass(&self, time: Duration) {
        self.clock.advance_and_settle(time, &self.executor);
    }

    /// A client that is accepted.
    ///
    /// # Panics
    ///
    /// If nobody listens on the rig's own network.
    pub fn connect(&self) -> MemoryStream {
        let client = self.network.connect().expect("somebody listens");
        self.settle();
        client
    }

    /// A client that is accepted, and then sends this.
    ///
    /// # Panics
    ///
    /// If nobody listens on the rig's own network.
    pub fn ask(&self, request: &[u8]) -> MemoryStream {
        let client = self.connect();
        client.send(request);
        self.settle();
        client
    }

    /// Has a task run beside the services, such as a client's. Whether it has ended is told by
    /// [`Task::is_finished`]; what it has come to, by [`complete`](Rig::complete).
    pub fn spawn<T: 'static>(&self, task: impl Future<Output = T> + 'static) -> Task<T> {
        let task = self.executor.spawn(task);
        self.settle();
        task
    }

    /// Runs a future to its end while the time stands still.
    ///
    /// # Panics
    ///
    /// If it waits for what does not come by itself: for time to pass, or for another step of the test.
    pub fn complete<T>(&self, future: impl Future<Output = T>) -> T {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                self.settle();
                return done;
            }
            self.settle();
            assert!(woken.0.swap(false, Ordering::Relaxed), "it waits for what does not come");
        }
    }

    /// Whether the run is over.
    pub fn is_over(&self) -> bool {
        self.run.is_finished()
    }

    /// What the run has come to.
    ///
    /// # Panics
    ///
    /// If it is not over, or could not begin.
    pub fn report(self) -> Report {
        self.settle();
        assert!(self.is_over(), "the run is not over");
        smol::block_on(self.run).expect("a run that could begin")
    }
}

/// Whether somebody has woken the future.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
