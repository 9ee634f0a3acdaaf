//! A run as it looks from inside: its phase, its services, whether it is ready, whom it waits for.
//!
//! The supervisor writes it, every service can read it through
//! [`Context::status`](crate::Context::status): a readiness probe, an admin page, a notifier.

mod causes;
mod changes;
mod readiness;
mod reloads;

use std::cell::{Cell, OnceCell};
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use async_signal::Signal;
use futures_lite::Stream;
use log::{Level, info};

use crate::base::clock::{Clock, sleep_until};
use crate::report::{Cause, Ending, ExitCodes, Report, Straggler, Unready};
use crate::shutdown::{Phase, Shutdown, Trigger, shutdown};
use crate::slot::{ServiceStatus, Slot};
use crate::stage::Stage;
use crate::words::{LOG, Left};

pub(crate) use causes::Causes;
pub use readiness::NotReady;
use readiness::Readiness;
#[cfg(feature = "hyper")]
#[cfg(feature = "grpc")]
pub(crate) use readiness::Ready;
use reloads::Reloads;

/// How many stragglers the log names each second.
const LOGGED_EACH_SECOND: usize = 5;

/// How long ago a stage must have been told for its stragglers to be worth a line.
const JUST_NOW: Duration = Duration::from_millis(100);

/// A view of the run that a service belongs to. Clones look at the same run.
#[derive(Clone)]
pub struct Status(Rc<View>);

struct View {
    clock: Rc<dyn Clock>,
    began: Instant,
    readiness: Rc<Readiness>,
    reloads: Rc<Reloads>,
    causes: Causes,
    ending: OnceCell<Ending>,
    /// Begins when nobody may be waited for any more.
    rush: (Trigger, Shutdown),
    /// When it began.
    rushed_at: Cell<Option<Instant>>,
    stages: OnceCell<Vec<Stage>>,
    /// The part of the grace period that is kept for each stage.
    reserves: Vec<Duration>,
}

impl Status {
    pub(crate) fn new(clock: Rc<dyn Clock>, causes: Causes, reserves: Vec<Duration>) -> Status {
        let readiness = Readiness::new(clock.clone());
        Status(Rc::new(View {
            began: clock.now(),
            clock,
            reloads: Reloads::new(readiness.ready().clone()),
            readiness,
            causes,
            ending: OnceCell::new(),
            rush: shutdown(),
            rushed_at: Cell::new(None),
            stages: OnceCell::new(),
            reserves,
        }))
    }

    /// How far the run has come.
    pub fn phase(&self) -> Phase {
        self.0.readiness.phase()
    }

    /// Waits for the next change of the [phase](Status::phase), of who is
    /// [not ready](Status::not_ready), or of whether services [are reloading](Status::is_reloading).
    /// It counts from this call on, and not from the first poll, so nothing is missed between a look
    /// and the wait. It may wake for nothing. Cancel-safe.
    ///
    /// ```
    /// # async fn watch(status: adieu::Status) {
    /// loop {
    ///     let changed = status.changed();
    ///     println!("{}", status.phase());
    ///     changed.await;
    /// }
    /// # }
    /// ```
    pub fn changed(&self) -> impl Future<Output = ()> + 'static {
        self.0.readiness.ready().changed()
    }

    /// Whether new work should be sent here: all services have started, none of them
    /// [holds readiness back](crate::Context::not_ready), and no cause to stop has come.
    pub fn is_ready(&self) -> bool {
        self.0.readiness.ready().get()
    }

    /// Which services hold readiness back, and why. Empty does not mean that the run
    /// [is ready](Status::is_ready): it may be about to start or to end.
    pub fn not_ready(&self) -> Vec<Unready> {
        self.0.readiness.held()
    }

    /// Whether a service has been told of a [reload](crate::Context::reloads) and is not done with it.
    pub fn is_reloading(&self) -> bool {
        self.0.reloads.are_under_way()
    }

    /// Begins with the first cause, when the run stops being ready; a service is told to stop
    /// ([`Context::shutdown`](crate::Context::shutdown)) only after the lame duck period.
    pub fn leaving(&self) -> &Shutdown {
        self.0.readiness.leaving()
    }

    /// Why the run is coming to its end; `None` before it is.
    pub fn cause(&self) -> Option<Cause> {
        Some(self.0.ending.get()?.cause().clone())
    }

    /// The instant at which whatever is left will be cut off; `None` before there is a cause to stop.
    pub fn deadline(&self) -> Option<Instant> {
        self.no_later(self.0.ending.get()?.deadline())
    }

    /// The time left until the [`deadline`](Status::deadline).
    pub fn time_left(&self) -> Option<Duration> {
        Some(self.deadline()?.saturating_duration_since(self.0.clock.now()))
    }

    /// All the time there is from the cause to the deadline; `None` before there is a cause.
    pub fn grace(&self) -> Option<Duration> {
        Some(self.deadline()?.saturating_duration_since(self.0.ending.get()?.began()))
    }

    /// How long ago the run began.
    pub fn uptime(&self) -> Duration {
        self.0.clock.now().saturating_duration_since(self.0.began)
    }

    /// Every service as it is now, in the order in which they were added.
    pub fn services(&self) -> Vec<ServiceStatus> {
        self.slots().map(Slot::status).collect()
    }

    /// Whom the drain waits for: `most` of them by name, and how many more there are. Nobody
    /// before the drain.
    pub fn stragglers(&self, most: usize) -> (Vec<Straggler>, usize) {
        let mut named = Vec::new();
        let mut more = 0;
        for slot in self.slots().filter(|slot| slot.is_waited_for()) {
            more += slot.name_stragglers(&mut named, most);
        }
        (named, more)
    }

    /// Sleeps; for ever if there is no such instant.
    pub(crate) async fn sleep_until(&self, at: Option<Instant>) {
        sleep_until(&*self.0.clock, at).await
    }

    /// Says, at each whole second from the cause on, who is left. Never done.
    pub(crate) async fn watch<T>(&self, ending: &Ending) -> T {
        loop {
            // From now and not from the line before: after a stop nothing is caught up.
            let elapsed = self.0.clock.now().saturating_duration_since(ending.began()).as_secs();
            self.sleep_until(ending.began().checked_add(Duration::from_secs(elapsed + 1))).await;
            self.log_stragglers();
        }
    }

    /// Says who is left of the stages that were told, and for how long they will be waited for.
    fn log_stragglers(&self) {
        let now = self.0.clock.now();
        let mut said = false;
        for (number, stage) in self.stages().iter().enumerate() {
            let left = self.until(number).map(|until| until.saturating_duration_since(now));
            // A stage that was told just now, or is about to be cut off, is no news.
            let is_new = stage.told().is_none_or(|told| now < told + JUST_NOW);
            if is_new || left == Some(Duration::ZERO) {
                continue;
            }
            for slot in stage.services().iter().filter(|slot| slot.is_waited_for()) {
                let (service, waits_for) = (slot.name(), slot.waits_for());
                info!(target: LOG, service, waits_for; "{service}: {waits_for}{}", Left(left));
                said = true;
            }
        }
        let (named, more) = self.stragglers(if said { LOGGED_EACH_SECOND } else { return });
        named.iter().for_each(|straggler| straggler.log(Level::Info, "waiting for"));
        if more > 0 {
            info!(target: LOG, more; "and for {more} more");
        }
    }

    /// Ends the run, and tells what it has come to. To be called once.
    pub(crate) fn conclude(
        &self,
        ending: &Ending,
        stragglers: Vec<Straggler>,
        aborted: Option<Signal>,
        exit_codes: ExitCodes,
    ) -> Report {
        let began = ending.began();
        let told = |stage: &Stage| stage.told().map(|told| told.saturating_duration_since(began));
        let of_stage = |stage: &Stage| -> Vec<_> {
            stage.services().iter().map(|slot| slot.report(told(stage))).collect()
        };
        let report = Report {
            cause: ending.cause().clone(),
            services: self.stages().iter().flat_map(of_stage).collect(),
            stragglers,
            aborted,
            took: self.0.clock.now().saturating_duration_since(began),
            exit_codes,
            ending: ending.clone(),
        };
        self.enter(Phase::Ended);
        report.log();
        report
    }

    pub(crate) fn clock(&self) -> &Rc<dyn Clock> {
        &self.0.clock
    }

    pub(crate) fn stages(&self) -> &[Stage] {
        self.0.stages.get().map_or(&[], Vec::as_slice)
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.stages().iter().flat_map(Stage::services)
    }

    /// To be called once, at the start.
    pub(crate) fn set_stages(&self, stages: Vec<Stage>) {
        let _ = self.0.stages.set(stages);
    }

    /// The instant at which a stage is cut off: the deadline, less what is reserved for the stages
    /// behind it. `None` before there is a cause.
    pub(crate) fn until(&self, stage: usize) -> Option<Instant> {
        let behind = self.0.reserves.get(stage + 1..).unwrap_or_default();
        self.no_later(self.0.ending.get()?.until(behind.iter().sum()))
    }

    fn no_later(&self, deadline: Option<Instant>) -> Option<Instant> {
        self.0.rushed_at.get().into_iter().chain(deadline).min()
    }

    /// From now on nobody is waited for: the deadline is now, and all waits for peers that have nothing in
    /// flight end.
    pub(crate) fn rush(&self, now: Instant) {
        self.0.rushed_at.set(Some(now));
        self.0.rush.0.shut_down();
    }

    /// Begins when such waits end, whatever time is left.
    pub(crate) fn rushed(&self) -> &Shutdown {
        &self.0.rush.1
    }

    /// All services have had their first turn. The run serves once nobody holds readiness back.
    pub(crate) fn start(&self) {
        self.0.readiness.start();
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.0.readiness.enter(phase);
    }

    pub(crate) fn hold_readiness(&self, service: &str, reason: String) -> NotReady {
        self.0.readiness.hold(service, reason)
    }

    #[cfg(feature = "hyper")]
    #[cfg(feature = "grpc")]
    pub(crate) fn ready(&self) -> &Ready {
        self.0.readiness.ready()
    }

    pub(crate) fn causes(&self) -> &Causes {
        &self.0.causes
    }

    /// Waits for a cause that time alone brings.
    pub(crate) async fn overdue(&self) -> Cause {
        let first = self.stages().first().expect("there is a stage from the beginning");
        self.0.causes.overdue(&*self.0.clock, &self.0.readiness, first).await
    }

    /// Asks the services to reload; a run that is about to end does not.
    pub(crate) fn reload(&self) {
        if !self.leaving().has_begun() {
            self.0.reloads.ask();
        }
    }

    /// How many reloads were asked for.
    #[cfg(feature = "systemd")]
    pub(crate) fn reloads_asked(&self) -> u64 {
        self.0.reloads.asked()
    }

    pub(crate) fn reloads(&self, until: Shutdown) -> impl Stream<Item = ()> + 'static {
        self.0.reloads.stream(until)
    }

    /// Notes that the run has begun to end: from now on it is not ready. To be called once.
    pub(crate) fn begin_ending(&self, ending: Ending) -> &Ending {
        let ending = self.0.ending.get_or_init(|| ending);
        self.slots().for_each(|slot| slot.register().note_cause());
        self.0.readiness.leave();
        ending
    }
}
