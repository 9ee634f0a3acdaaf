//! The supervisor: starts services, notices the first cause to stop, and sees them all out.
//!
//! A run has two halves. In the first it waits for a cause; in the second, the drain, it waits
//! for three things at once: the last service to end, the deadline, a second signal. Both halves
//! run on one executor that the run owns; dropping it at the end drops whatever is left.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_lite::{FutureExt, Stream, StreamExt};
use log::{error, info};
use smol::LocalExecutor;

use crate::clock::{Clock, SystemClock};
use crate::connection::Register;
use crate::error::BoxError;
use crate::group::{self, Group};
use crate::report::{Cause, Left, Outcome, Report, ServiceReport, Straggler};
use crate::service::{Context, Service};
use crate::shutdown::{Shutdown, Trigger, shutdown};
use crate::signal::{Signal, SignalSource};
use crate::timeline::Timeline;

/// The default grace period.
pub const GRACE: Duration = Duration::from_secs(10);

/// How finely time limits are kept: expiries closer together than this share one wake-up.
const SWEEP: Duration = Duration::from_millis(100);

type Start = Box<dyn FnOnce(Context) -> Serving>;
type Serving = Pin<Box<dyn Future<Output = Result<(), BoxError>>>>;

/// Starts services together and stops them together. It does not restart them.
///
/// See the [crate's front page](crate) for a whole program.
#[must_use = "a supervisor does nothing until it is run"]
pub struct Supervisor {
    services: Vec<(Rc<str>, Start)>,
    grace: Duration,
    clock: Rc<dyn Clock>,
    asked: (Trigger, Shutdown),
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
            clock: Rc::new(SystemClock),
            asked: shutdown(),
        }
    }

    /// Adds a service. The name is a label for logs and the report.
    pub fn service(mut self, name: &str, service: impl Service) -> Supervisor {
        let serve = move |cx| Box::pin(service.serve(cx)) as Serving;
        self.services.push((name.into(), Box::new(serve)));
        self
    }

    /// Sets the grace period: the time from the cause to the deadline. Default: 10 s.
    pub fn grace(mut self, grace: Duration) -> Supervisor {
        self.grace = grace;
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
    /// the last service ends by itself. A second signal from `signals` aborts the drain. Pass
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

/// One service while it runs.
struct Slot {
    name: Rc<str>,
    register: Rc<Register>,
    outcome: Rc<RefCell<Option<Outcome>>>,
    group: Group,
}

impl Slot {
    /// The service has returned, and its connections and tasks are gone.
    fn has_ended(&self) -> bool {
        self.group.has_ended()
    }

    fn waits_for(&self) -> String {
        let in_flight = self.register.in_flight();
        match self.register.len() - in_flight {
            0 if in_flight == 0 => "still running".to_owned(),
            0 => format!("{in_flight} in flight"),
            closing => format!("{in_flight} in flight, {closing} closing"),
        }
    }
}

/// A run under way.
struct Run {
    slots: Vec<Slot>,
    clock: Rc<dyn Clock>,
    grace: Duration,
    deadline: Rc<Cell<Option<Instant>>>,
    asked: Shutdown,
    tell: Trigger,
    failures: async_channel::Receiver<Rc<str>>,
    shorter_limits: async_channel::Receiver<()>,
    // Kept, so that dropping every handle outside does not look like a request.
    _asking: Trigger,
}

impl Run {
    fn start(supervisor: Supervisor, executor: &Rc<LocalExecutor<'static>>) -> Run {
        let Supervisor { services, grace, clock, asked: (_asking, asked) } = supervisor;
        let (tell, told) = shutdown();
        let (failed, failures) = async_channel::unbounded();
        let (shorter, shorter_limits) = async_channel::bounded(1);
        let deadline = Rc::new(Cell::new(None));
        let start = |(name, serve): (Rc<str>, Start)| {
            let (group, member) = group::group(executor);
            let register = Register::new(clock.clone(), shorter.clone());
            let outcome = Rc::new(RefCell::new(None));
            let cx = Context {
                name: name.clone(),
                shutdown: told.clone(),
                clock: clock.clone(),
                deadline: deadline.clone(),
                register: register.clone(),
                member: member.clone(),
            };
            let slot = Slot { name: name.clone(), register, outcome: outcome.clone(), group };
            let failed = failed.clone();
            member.spawn(async move {
                let serving = AssertUnwindSafe(async move { serve(cx).await });
                let ended = Outcome::of(serving.catch_unwind().await);
                if ended.is_failure() {
                    error!("{name} {ended}");
                    // Unbounded, and read until the run is over.
                    let _ = failed.try_send(name);
                }
                *outcome.borrow_mut() = Some(ended);
            });
            slot
        };
        let slots = services.into_iter().map(start).collect();
        Run { slots, clock, grace, deadline, asked, tell, failures, shorter_limits, _asking }
    }

    async fn drive(self, mut signals: Pin<&mut impl Stream<Item = Signal>>) -> Report {
        let cause = self.first_cause(&mut signals).or(self.sweep()).await;
        let began = self.clock.now();
        let aborted = match cause {
            Cause::AllFinished => None,
            _ => self.drain(began, signals).or(self.sweep()).await,
        };
        let report = self.report(cause, aborted, began);
        report.log();
        report
    }

    async fn first_cause(&self, signals: &mut Pin<&mut impl Stream<Item = Signal>>) -> Cause {
        let signal = async { Cause::Signal(next_signal(signals).await) };
        let trigger = async {
            self.asked.begun().await;
            Cause::Trigger
        };
        let failure = async {
            match self.failures.recv().await {
                Ok(name) => Cause::Failed(name.to_string()),
                Err(_all_ended_well) => pending().await,
            }
        };
        let all_finished = async {
            self.all_ended().await;
            Cause::AllFinished
        };
        // A failure before "all finished": the last service may end by failing.
        signal.or(trigger).or(failure).or(all_finished).await
    }

    /// Tells everybody, in one turn of the loop, and waits for the end. `Some` if a signal forced it.
    async fn drain(
        &self,
        began: Instant,
        mut signals: Pin<&mut impl Stream<Item = Signal>>,
    ) -> Option<Signal> {
        let deadline = began.checked_add(self.grace);
        self.deadline.set(deadline);
        self.slots.iter().for_each(|slot| slot.register.note_cause());
        self.tell.shut_down();
        for slot in &self.slots {
            slot.register.begin_drain();
        }
        // Behind the telling: a log line may block.
        info!("shutting down servers, please wait...");
        let ended = async {
            self.all_ended().await;
            None
        };
        let missed = async {
            self.watch(began, deadline).await;
            None
        };
        let aborted = async { Some(next_signal(&mut signals).await) };
        ended.or(aborted).or(missed).await
    }

    async fn all_ended(&self) {
        for slot in &self.slots {
            slot.group.ended().await;
        }
    }

    /// Waits for the deadline and says once a second for whom.
    async fn watch(&self, began: Instant, deadline: Option<Instant>) {
        let mut next = began;
        loop {
            next += Duration::from_secs(1);
            let until = deadline.map_or(next, |deadline| deadline.min(next));
            self.clock.sleep_until(until).await;
            let left = deadline.map(|deadline| deadline.saturating_duration_since(until));
            if left == Some(Duration::ZERO) {
                return;
            }
            for slot in self.slots.iter().filter(|slot| !slot.has_ended()) {
                info!("{}: {}{}", slot.name, slot.waits_for(), Left(left));
            }
        }
    }

    /// Keeps the time limits of all connections; never done.
    ///
    /// A limit set after a look is at least the shortest limit away, so sleeping for the
    /// shortest limit cannot miss it; it need only be told when that gets shorter.
    async fn sweep<T>(&self) -> T {
        loop {
            let now = self.clock.now();
            let next = self.slots.iter().filter_map(|slot| slot.register.expire(now)).min();
            let shortest = self.slots.iter().map(|slot| slot.register.shortest_limit()).min();
            let shortest = shortest.unwrap_or(Duration::MAX).max(SWEEP);
            let latest = now.checked_add(shortest);
            let at = next.into_iter().chain(latest).min();
            let sleep = async {
                match at {
                    Some(at) => self.clock.sleep_until(at.max(now + SWEEP)).await,
                    None => pending().await,
                }
            };
            let told = async {
                if self.shorter_limits.recv().await.is_err() {
                    pending().await // every service has ended
                }
            };
            told.or(sleep).await;
        }
    }

    fn report(&self, cause: Cause, aborted: Option<Signal>, began: Instant) -> Report {
        let mut stragglers = Vec::new();
        let mut services = Vec::new();
        for slot in &self.slots {
            let service = slot.name.to_string();
            let cut_off = slot.register.cut_off();
            let returned = slot.outcome.borrow_mut().take();
            if returned.is_none() || (cut_off.is_empty() && !slot.has_ended()) {
                stragglers.push(Straggler { service: service.clone(), connection: None });
            }
            let outcome = match returned {
                Some(Outcome::Finished) if !slot.has_ended() => Outcome::CutOff,
                Some(outcome) => outcome,
                None => Outcome::CutOff,
            };
            stragglers.extend(cut_off.into_iter().map(|connection| Straggler {
                service: service.clone(),
                connection: Some(connection),
            }));
            services.push(ServiceReport { name: service, outcome, counts: slot.register.counts() });
        }
        let took = self.clock.now().saturating_duration_since(began);
        let spans = |slot: &Slot| (slot.name.to_string(), slot.register.take_spans());
        let timeline = Timeline {
            cause: began,
            took,
            lame_duck: Duration::ZERO,
            deadline: began.checked_add(self.grace).map(|_| self.grace),
            services: self.slots.iter().map(spans).collect(),
        };
        Report { cause, services, stragglers, aborted, took, timeline }
    }
}

/// The next signal; never, once there can be none any more.
async fn next_signal(signals: &mut Pin<&mut impl Stream<Item = Signal>>) -> Signal {
    match signals.next().await {
        Some(signal) => signal,
        None => pending().await,
    }
}
