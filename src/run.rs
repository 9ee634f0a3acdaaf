//! A run under way: notices the first cause to stop, and sees the services out.
//!
//! A run has two halves. In the first it waits for a cause; in the second it waits for three
//! things at once: the last service to end, the deadline, a second signal. The second half may begin
//! with a lame duck period; then comes the drain, and behind it the admin services. Both halves
//! run on one executor that belongs to the run; dropping it at the end drops whatever is left.

use std::cell::RefCell;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_lite::{FutureExt, Stream, StreamExt};
use log::{error, info};
use smol::LocalExecutor;

use crate::clock::Clock;
use crate::group;
use crate::register::Register;
use crate::report::{Cause, Left, Outcome, Report, Seconds};
use crate::service::Context;
use crate::shutdown::{Shutdown, Trigger, shutdown};
use crate::signal::Signal;
use crate::status::{Phase, Slot, Status};
use crate::supervisor::{Added, Supervisor};
use crate::timeline::Timeline;

/// How many stragglers the log names each second.
const NAMED: usize = 5;

/// How finely time limits are kept: expiries closer together than this share one wake-up.
const SWEEP: Duration = Duration::from_millis(100);

/// A run under way.
pub(crate) struct Run {
    status: Status,
    executor: Rc<LocalExecutor<'static>>,
    clock: Rc<dyn Clock>,
    grace: Duration,
    lame_duck: Duration,
    asked: Shutdown,
    leave: Trigger,
    tell: Trigger,
    tell_admin: Trigger,
    failures: async_channel::Receiver<Rc<str>>,
    shorter_limits: async_channel::Receiver<()>,
    // Kept, so that dropping every handle outside does not look like a request.
    _asking: Trigger,
}

impl Run {
    pub(crate) fn start(supervisor: Supervisor, executor: &Rc<LocalExecutor<'static>>) -> Run {
        let Supervisor { services, grace, lame_duck, clock, asked: (_asking, asked) } = supervisor;
        let (leave, leaving) = shutdown();
        let (tell, told) = shutdown();
        let (tell_admin, admin_told) = shutdown();
        let (failed, failures) = async_channel::unbounded();
        let (shorter, shorter_limits) = async_channel::bounded(1);
        let status = Status::new(clock.clone(), leaving);
        let start = |Added { name, is_admin, start }: Added| {
            let (group, member) = group::group(executor);
            let register = Register::new(clock.clone(), shorter.clone());
            let outcome = Rc::new(RefCell::new(None));
            let cx = Context {
                name: name.clone(),
                shutdown: if is_admin { admin_told.clone() } else { told.clone() },
                clock: clock.clone(),
                status: status.clone(),
                register: register.clone(),
                member: member.clone(),
            };
            let slot =
                Slot { name: name.clone(), is_admin, register, outcome: outcome.clone(), group };
            let failed = failed.clone();
            member.spawn(async move {
                let serving = AssertUnwindSafe(async move { start(cx).await });
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
        status.set_slots(services.into_iter().map(start).collect());
        let executor = executor.clone();
        Run {
            status,
            executor,
            clock,
            grace,
            lame_duck,
            asked,
            leave,
            tell,
            tell_admin,
            failures,
            shorter_limits,
            _asking,
        }
    }

    pub(crate) async fn drive(self, mut signals: Pin<&mut impl Stream<Item = Signal>>) -> Report {
        let cause = self.first_cause(&mut signals).or(self.sweep()).await;
        let began = self.clock.now();
        let aborted = self.see_out(&cause, began, signals).or(self.sweep()).await;
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
            self.ended(false).await;
            Cause::AllFinished
        };
        // A failure before "all finished": the last service may end by failing.
        signal.or(trigger).or(failure).or(all_finished).await
    }

    /// From the cause to the end. `Some` if a signal forced it.
    async fn see_out(
        &self,
        cause: &Cause,
        began: Instant,
        mut signals: Pin<&mut impl Stream<Item = Signal>>,
    ) -> Option<Signal> {
        let (grace, forced) = match cause {
            Cause::Signal(Signal::Quit) => (Duration::ZERO, Some(Signal::Quit)),
            _ => (self.grace, None),
        };
        let deadline = self.status.set_cause(cause, began, grace);
        self.status.slots().iter().for_each(|slot| slot.register.note_cause());
        self.leave.shut_down();
        let orderly = async {
            if *cause != Cause::AllFinished {
                self.be_a_lame_duck(began, grace).await;
                self.drain(false, &self.tell);
                // Behind the telling: a log line may block.
                info!("shutting down servers, please wait...");
                self.ended(false).await;
            }
            self.drain(true, &self.tell_admin);
            self.ended(true).await;
            None
        };
        let missed = async {
            self.watch(began, deadline).await;
            forced
        };
        let aborted = async {
            // Of a run that is ending anyway, the first signal asks for nothing new.
            let mut asked = matches!(cause, Cause::Signal(_));
            loop {
                let signal = next_signal(&mut signals).await;
                if asked || signal == Signal::Quit {
                    return Some(signal);
                }
                asked = true;
            }
        };
        orderly.or(aborted).or(missed).await
    }

    async fn be_a_lame_duck(&self, began: Instant, grace: Duration) {
        let period = self.lame_duck.min(grace);
        if period.is_zero() {
            return;
        }
        self.status.set_phase(Phase::LameDuck);
        for slot in self.slots(false) {
            slot.register.begin_lame_duck();
        }
        info!("lame duck for {}, not ready any more", Seconds(period));
        let over = self.clock.sleep_until(began + period);
        self.ended(false).or(over).await;
    }

    /// Tells all of a kind, in one turn of the loop.
    fn drain(&self, admin: bool, tell: &Trigger) {
        self.status.set_phase(Phase::Draining);
        tell.shut_down();
        for slot in self.slots(admin) {
            slot.register.begin_drain();
        }
    }

    fn slots(&self, admin: bool) -> impl Iterator<Item = &Slot> {
        self.status.slots().iter().filter(move |slot| slot.is_admin == admin)
    }

    async fn ended(&self, admin: bool) {
        for slot in self.slots(admin) {
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
                break;
            }
            self.say_who_is_left(left);
        }
        // However short the grace period: whoever has nothing to do gets the turn it takes to end,
        // and whoever was in the accept queue another.
        for _ in 0..2 {
            self.executor.spawn(async {}).await;
        }
    }

    fn say_who_is_left(&self, left: Option<Duration>) {
        for slot in self.status.slots().iter().filter(|slot| slot.is_waited_for()) {
            info!("{}: {}{}", slot.name, slot.waits_for(), Left(left));
        }
        let (named, more) = self.status.stragglers(NAMED);
        for straggler in named {
            info!("waiting for {straggler}");
        }
        if more > 0 {
            info!("and for {more} more");
        }
    }

    /// Keeps the time limits of all connections; never done.
    ///
    /// A limit set after a look is at least the shortest limit away, so sleeping for the
    /// shortest limit cannot miss it; it need only be told when that gets shorter.
    async fn sweep<T>(&self) -> T {
        loop {
            let now = self.clock.now();
            let next =
                self.status.slots().iter().filter_map(|slot| slot.register.expire(now)).min();
            let shortest =
                self.status.slots().iter().map(|slot| slot.register.shortest_limit()).min();
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
        let slots = self.status.slots().iter();
        let services = slots.map(|slot| slot.report(&mut stragglers)).collect();
        let took = self.clock.now().saturating_duration_since(began);
        let spans = |slot: &Slot| (slot.name.to_string(), slot.register.take_spans());
        let timeline = Timeline {
            cause: began,
            took,
            lame_duck: self.lame_duck,
            deadline: self.status.deadline().map(|at| at.saturating_duration_since(began)),
            services: self.status.slots().iter().map(spans).collect(),
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
