//! The supervisor: what is to be run, and how it is to end. The run itself is in `run.rs`.

use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use smol::LocalExecutor;

use crate::clock::{Clock, SystemClock};
use crate::error::BoxError;
use crate::report::Report;
use crate::run::Run;
use crate::service::{Context, Service};
use crate::shutdown::{Shutdown, Trigger, shutdown};
use crate::signal::SignalSource;

/// The default grace period.
pub const GRACE: Duration = Duration::from_secs(10);

pub(crate) type Start = Box<dyn FnOnce(Context) -> Serving>;
pub(crate) type Serving = Pin<Box<dyn Future<Output = Result<(), BoxError>>>>;

/// Starts services together and stops them together. It does not restart them.
///
/// See the [crate's front page](crate) for a whole program.
#[must_use = "a supervisor does nothing until it is run"]
pub struct Supervisor {
    pub(crate) services: Vec<Added>,
    pub(crate) grace: Duration,
    pub(crate) lame_duck: Duration,
    pub(crate) clock: Rc<dyn Clock>,
    pub(crate) asked: (Trigger, Shutdown),
}

pub(crate) struct Added {
    pub(crate) name: Rc<str>,
    pub(crate) is_admin: bool,
    pub(crate) start: Start,
}

impl Default for Supervisor {
    fn default() -> Self {
        Supervisor::new()
    }
}

impl Supervisor {
    /// A supervisor of nothing yet, with a grace period of ten seconds and the system's clock.
    pub fn new() -> Supervisor {
        Supervisor {
            services: Vec::new(),
            grace: GRACE,
            lame_duck: Duration::ZERO,
            clock: Rc::new(SystemClock),
            asked: shutdown(),
        }
    }

    /// Adds a service. The name is a label for logs and the report.
    pub fn service(self, name: &str, service: impl Service) -> Supervisor {
        self.add(name, service, false)
    }

    /// Adds a service that sees the others out: it is told to stop when they have ended, so that
    /// probes and pages are answered to the last. It keeps no run alive by itself, and the deadline
    /// is the same for it. If it fails, that is a cause like any other.
    pub fn admin(self, name: &str, service: impl Service) -> Supervisor {
        self.add(name, service, true)
    }

    fn add(mut self, name: &str, service: impl Service, is_admin: bool) -> Supervisor {
        let serve = move |cx| Box::pin(service.serve(cx)) as Serving;
        self.services.push(Added { name: name.into(), is_admin, start: Box::new(serve) });
        self
    }

    /// Sets the grace period: the time from the cause to the deadline. Default: 10 s.
    pub fn grace(mut self, grace: Duration) -> Supervisor {
        self.grace = grace;
        self
    }

    /// Sets how long to be a lame duck between the cause and the drain: not ready, answers say
    /// `Connection: close`, listeners still accept. It is for load balancers, which take a while to
    /// notice. The grace period includes it and ends it. Default: 0.
    pub fn lame_duck(mut self, period: Duration) -> Supervisor {
        self.lame_duck = period;
        self
    }

    /// Sets the clock by which the run and its services go. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock + 'static) -> Supervisor {
        self.clock = Rc::new(clock);
        self
    }

    /// A handle that begins shutdown from code, before or during the run.
    pub fn trigger(&self) -> Trigger {
        self.asked.0.clone()
    }

    /// Runs all services until they have ended, and reports how it went.
    ///
    /// The first cause begins the shutdown: a signal, a [`Trigger`], a service that fails; or
    /// the last service ends by itself. A second signal from `signals` aborts the drain, and
    /// SIGQUIT, even the first, leaves it no time. Pass
    /// [`signals()`](crate::signals) in a program, any stream in a test,
    /// [`futures_lite::stream::pending()`] for none.
    ///
    /// Dropping the returned future drops all services at once, without a drain.
    pub async fn run(self, signals: impl SignalSource) -> Report {
        let executor = Rc::new(LocalExecutor::new());
        let signals = pin!(signals.signals(self.grace));
        let run = Run::start(self, &executor);
        let report = executor.run(run.drive(signals)).await;
        // Whoever missed the deadline is dropped here: sockets close, destructors run.
        drop(executor);
        report
    }
}
