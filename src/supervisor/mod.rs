//! The supervisor: what is to be run, and how it is to end. The run itself is in `run.rs`.

mod run;
mod start;

use std::cell::RefCell;
use std::collections::HashSet;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use smol::LocalExecutor;

use crate::base::WhenWoken;
use crate::base::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::process::{SignalSource, Terms};
use crate::register::sweep;
use crate::report::{Cause, ExitCodes, Report};
use crate::service::{Context, Service};
use crate::shutdown::Trigger;
use crate::status::{Causes, Status};
use run::Run;
use start::{Added, Start};

/// Starts services together and stops them stage by stage. It does not restart them, but
/// [`restart`](crate::restart()) does.
///
/// See the [crate's front page](crate) for a whole program.
#[must_use = "a supervisor does nothing until it is run"]
pub struct Supervisor {
    stages: Vec<Plan>,
    terms: Terms,
    lame_duck: Duration,
    spread: bool,
    clock: Rc<dyn Clock>,
    causes: Causes,
}

/// A stage that is to be run.
#[derive(Default)]
struct Plan {
    services: Vec<Added>,
    reserve: Duration,
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
            stages: vec![Plan::default()],
            terms: Terms::default(),
            lame_duck: Duration::ZERO,
            spread: false,
            clock: Rc::new(SystemClock),
            causes: Causes::new(),
        }
    }

    /// Adds a service to the stage that is being filled. Its name stands in logs, metrics and the
    /// report, and must be its own: two services of one name are an error when they are run.
    pub fn service(mut self, name: &str, service: impl Service) -> Supervisor {
        self.filling().services.push(Added::new(name, service));
        self
    }

    /// Adds a service as [`service`](Supervisor::service) does. When it returns, that is a cause to shut down:
    /// all services end. It is for a job that has others beside it, such as an admin server.
    ///
    /// If it returns `Ok`, the cause is [`Cause::MainEnded`] and the exit code is 0 if
    /// everybody ends in time. If it fails, the cause is a failure, as of any other service. What it has spawned
    /// is part of the drain. If there are several main services, the first that returns is the cause.
    ///
    /// ```no_run
    /// # async fn import(cx: adieu::Context) -> std::io::Result<()> { Ok(()) }
    /// # async fn progress(cx: adieu::Context) -> std::io::Result<()> { Ok(cx.shutdown().begun().await) }
    /// let supervisor = adieu::Supervisor::new().main("import", import).service("progress", progress);
    /// ```
    pub fn main(self, name: &str, service: impl Service) -> Supervisor {
        self.service(name, async |cx: Context| {
            let ended = service.serve(cx.clone()).await;
            if ended.is_ok() {
                cx.status().causes().add(Cause::MainEnded(cx.name().to_owned()));
            }
            ended
        })
    }

    /// Begins a new stage: services that are added from here on are told to stop only when those of
    /// the earlier stages have ended, or have used up their time.
    ///
    /// All stages start together. The run is over by itself when the services of the first stage have
    /// ended, whatever those of later stages do. A service that fails is a cause to stop in any stage.
    /// The grace period is one for all. A stage whose time is over is cut off, and the next one is
    /// told. Without a [reserve](Supervisor::reserve) a stage is told at the deadline at the latest,
    /// and gets the turns of the loop that work without waiting needs.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn queue(cx: adieu::Context) -> std::io::Result<()> { Ok(cx.shutdown().begun().await) }
    /// # fn main() -> Result<(), adieu::Error> {
    /// # let api = async |cx: adieu::Context| std::io::Result::Ok(cx.shutdown().begun().await);
    /// let supervisor = adieu::Supervisor::new()
    ///     .service("api", api)
    ///     .next_stage()
    ///     .reserve(Duration::from_secs(1))
    ///     .service("mail queue", queue); // told when api has ended, a second before the deadline at the latest
    /// # Ok(())
    /// # }
    /// ```
    pub fn next_stage(mut self) -> Supervisor {
        self.stages.push(Plan::default());
        self
    }

    /// Keeps the last part of the grace period for the stage that is being filled: earlier stages are
    /// cut off that long before the deadline. Default: 0. For the first stage it has no effect.
    ///
    /// If all reserves together are longer than the grace period, that is an error when it is run.
    pub fn reserve(mut self, time: Duration) -> Supervisor {
        self.filling().reserve = time;
        self
    }

    fn filling(&mut self) -> &mut Plan {
        self.stages.last_mut().expect("there is a stage from the beginning")
    }

    /// Sets the grace period: the time from the cause to the deadline. Default: 10 s.
    pub fn grace(mut self, grace: Duration) -> Supervisor {
        self.terms.grace = grace;
        self
    }

    /// Sets how long the first stage is a lame duck between the cause and the drain: not ready,
    /// answers say `Connection: close`, listeners still accept. It is for load balancers, which take a
    /// while to notice. The grace period includes it and ends it. Default: 0.
    pub fn lame_duck(mut self, period: Duration) -> Supervisor {
        self.lame_duck = period;
        self
    }

    /// Sets whether connections go one after the other in the lame duck. Default: false, and all that are idle
    /// close in one instant, at the end of the lame duck: their clients then come back in one instant too,
    /// somewhere else.
    ///
    /// If true, each connection that was open when the lame duck began draws a moment of it. From then on it closes as
    /// soon as it has nothing in flight: HTTP/2 clients are told with GOAWAY, raw TCP handlers by
    /// [`Connection::asked_to_leave`](crate::Connection::asked_to_leave). Moments are kept to within 100 ms.
    pub fn spread(mut self, spread: bool) -> Supervisor {
        self.spread = spread;
        self
    }

    /// Sets how long the services may take to be ready for the first time. Default: for ever.
    ///
    /// If one of them still [holds readiness back](crate::Context::not_ready) when the time is over, that is a
    /// cause to shut down, [`Cause::NotReady`], which names it; the exit code is 1. It
    /// counts from the start of the run. With zero, all must be ready in the first turn of the loop.
    pub fn ready_within(mut self, time: Duration) -> Supervisor {
        self.causes.set_ready_within(time);
        self
    }

    /// Makes it a cause to shut down, [`Cause::Idle`], if no service of the first stage has
    /// had an open connection or a [task](crate::Context::spawn) for so long. Default: never.
    ///
    /// It is for processes that are started again when somebody comes, by systemd's socket activation or a
    /// platform that scales to zero. A client that connects in the very moment is served: before a listener
    /// closes, its accept queue is emptied, and a socket that was handed over keeps later clients for the
    /// next process.
    ///
    /// The time counts from when the run was ready, and not while a service
    /// [holds readiness back](crate::Context::not_ready). Connections to services of later stages do not count,
    /// so that a probe or a scraper of an admin server keeps nothing running. A keep-alive connection is open
    /// until its limit closes it. Less than 100 ms is taken for 100 ms.
    pub fn exit_when_idle(mut self, time: Duration) -> Supervisor {
        self.causes.set_idle(time);
        self
    }

    /// Sets the exit codes. Default: see [`ExitCodes`].
    pub fn exit_codes(mut self, codes: ExitCodes) -> Supervisor {
        self.terms.exit_codes = codes;
        self
    }

    /// Sets whether a second signal ends the run at once. Default: true. If not, only SIGQUIT does,
    /// and repeats of the others are no-ops. Two signals closer together than 100 ms are one request.
    pub fn second_signal_aborts(mut self, aborts: bool) -> Supervisor {
        self.terms.second_signal_aborts = aborts;
        self
    }

    /// Sets the clock by which the run and its services go. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock + 'static) -> Supervisor {
        self.clock = Rc::new(clock);
        self
    }

    /// A handle that begins shutdown from code, before or during the run.
    pub fn trigger(&self) -> Trigger {
        self.causes.trigger().clone()
    }

    /// Runs all services until they have ended, and reports how it went.
    ///
    /// The first cause begins the shutdown: a signal, a [`Trigger`], a service that fails, a
    /// [main service](Supervisor::main) that returns, a start that takes [too long](Supervisor::ready_within),
    /// [idleness](Supervisor::exit_when_idle); or the last service of the first stage ends by itself. A second signal from `signals` aborts the
    /// drain, and SIGQUIT, even the first, leaves it no time. Pass [`signals()`](crate::signals) in a
    /// program, any stream in a test, [`futures_lite::stream::pending()`] for none.
    ///
    /// Dropping the returned future drops all services at once, without a drain.
    ///
    /// # Errors
    ///
    /// If two services have one name, a name is empty, or more time is reserved than there is. Then no
    /// service has been started.
    pub async fn run(self, signals: impl SignalSource + 'static) -> Result<Report, Error> {
        self.check()?;
        let executor = Rc::new(LocalExecutor::new());
        let run = self.start(&executor);
        let (hangup, reload) = (signals.hangup(), || run.status.reload());
        let signals = pin!(hangup.divert(signals.signals(run.terms.clone()), reload));
        // It is polled before all tasks: what comes in the same turn as a signal is answered after it.
        Ok(executor.run(WhenWoken::new(run.drive(signals))).await)
    }

    fn start(self, executor: &Rc<LocalExecutor<'static>>) -> Run {
        let Supervisor { stages, terms, lame_duck, spread, clock, causes } = self;
        let (shorter_limits, shortened) = async_channel::bounded(1);
        let reserves = stages.iter().map(|stage| stage.reserve).collect();
        let names = stages.iter().flat_map(|stage| &stage.services).map(|added| &*added.name);
        terms.polled().set_services(names);
        let status = Status::new(clock.clone(), causes, reserves);
        let start = Start { executor, status: &status, polled: terms.polled(), shorter_limits };
        let stages = stages.into_iter().enumerate();
        let stages = stages.map(|(number, stage)| start.stage(number, stage.services));
        status.set_stages(stages.collect());
        let registers = status.slots().map(|slot| slot.register().clone()).collect();
        executor.spawn(sweep(registers, clock, shortened)).detach();
        let (executor, stragglers) = (executor.clone(), RefCell::default());
        Run { executor, status, terms, lame_duck, spread, stragglers }
    }

    fn check(&self) -> Result<(), Error> {
        let mut names = HashSet::new();
        for Added { name, .. } in self.stages.iter().flat_map(|stage| &stage.services) {
            if name.is_empty() {
                return Err(Error::NoName);
            }
            if !names.insert(name) {
                return Err(Error::SameName(name.to_string()));
            }
        }
        let (later, grace) = (self.stages.iter().skip(1), self.terms.grace);
        let reserved = later.fold(Duration::ZERO, |sum, stage| sum.saturating_add(stage.reserve));
        if reserved > grace { Err(Error::Reserve { reserved, grace }) } else { Ok(()) }
    }
}
