//! Readiness that services hold back, main services, idle ends and reloads: what a seed decides of them, what
//! services do of it, and the invariants.

use std::cell::Cell;
use std::future::pending;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use adieu::{Cause, Context, Phase, Signal, Status};
use fastrand::Rng;
use futures_lite::{FutureExt, StreamExt, future};

use crate::net::look;
use crate::plan::{Event, ServicePlan, moment, one_in, rest, several};
use crate::world::World;

/// How much later other causes come if the run may be idle.
const LATE: Duration = Duration::from_secs(5);

/// What a seed decides of the run's life, beside its services and events.
#[derive(Debug, Default)]
pub struct LifePlan {
    pub ready_within: Option<Duration>,
    pub idle: Option<Duration>,
    /// Which services are main services.
    pub mains: Vec<bool>,
    /// From when each service holds readiness back, and for how long.
    holds: Vec<Option<(Duration, Duration)>>,
    /// How long a service takes for a reload, if SIGHUP asks for one.
    pub reloads: Option<Duration>,
}

impl LifePlan {
    /// In half of all seeds there is nothing of it. Adds the SIGHUPs that ask for reloads to the events.
    pub fn draw(
        seed: u64,
        services: &[ServicePlan],
        events: &mut Vec<(Duration, Event)>,
    ) -> LifePlan {
        // Dice of its own, so that the rest of the plan does not depend on it.
        let rng = &mut Rng::with_seed(seed ^ 0x6c69_6665);
        let count = services.len();
        let mut life =
            LifePlan { mains: vec![false; count], holds: vec![None; count], ..LifePlan::default() };
        if rng.bool() {
            return life;
        }
        for number in 0..count {
            life.mains[number] = one_in(rng, 6);
            let from = if rng.bool() { Duration::ZERO } else { moment(rng) };
            let time = moment(rng).max(Duration::from_millis(10));
            life.holds[number] = one_in(rng, 3).then_some((from, time));
        }
        life.ready_within = one_in(rng, 4).then(|| moment(rng));
        let idle = [100, 200, 500, 1000][rng.usize(..4)];
        if rng.bool() {
            life.idle = Some(Duration::from_millis(idle));
            // What else would end the run comes late, so that there is time to be idle.
            let causes = events.iter_mut().filter(|(_, event)| event.is_cause());
            causes.for_each(|(at, _)| *at += LATE);
        }
        // Something else must end the run.
        let is_hangup = |event: &Event| matches!(event, Event::Signal(Signal::Hup));
        if rng.bool() && events.iter().any(|(_, event)| event.is_cause() && !is_hangup(event)) {
            life.reloads = Some(rest(rng));
            events.extend(several(rng, 4, |rng| (moment(rng), Event::Signal(Signal::Hup))));
        }
        life
    }

    /// Whether the event asks for a reload.
    pub fn is_reload(&self, event: &Event) -> bool {
        self.reloads.is_some() && matches!(event, Event::Signal(Signal::Hup))
    }

    /// Whether this main service has returned by itself.
    pub fn has_ended(&self, world: &World, number: usize, time: Duration) -> bool {
        let ended = match world.plan.services[number] {
            ServicePlan::Returns(at) => at <= time,
            ServicePlan::Spawns(_) => true,
            _ => false,
        };
        self.mains[number] && ended
    }
}

/// What is seen of it.
#[derive(Default)]
pub struct Life {
    /// How many reloads were asked for before the cause, and when the last one was.
    asked: Cell<u32>,
    asked_at: Cell<Option<Duration>>,
    services: Vec<Reloading>,
    /// Nobody held readiness back at some time.
    pub was_ready: Cell<bool>,
}

#[derive(Clone, Default)]
struct Reloading {
    count: Cell<u32>,
    began: Cell<Option<Duration>>,
    is_busy: Cell<bool>,
}

impl Life {
    pub fn new(services: usize) -> Life {
        Life { services: vec![Reloading::default(); services], ..Life::default() }
    }

    /// SIGHUP is sent.
    pub fn ask_for_reload(&self, world: &World) {
        if !world.leaving() {
            self.asked.set(self.asked.get() + 1);
            self.asked_at.set(Some(world.now()));
        }
    }
}

/// Does what the plan says beside a service's own work, for as long as that lasts.
pub async fn accompany<T>(
    world: &Rc<World>,
    number: usize,
    cx: &Context,
    work: impl Future<Output = T>,
) -> T {
    let beside = async {
        future::zip(hold(world, number, cx), reload(world, number, cx)).await;
        pending().await
    };
    work.or(beside).await
}

async fn hold(world: &World, number: usize, cx: &Context) {
    let Some((from, time)) = world.plan.life.holds[number] else { return };
    cx.sleep(from).await;
    let _held = cx.not_ready(format!("for {time:?}"));
    cx.sleep(time).await;
}

async fn reload(world: &World, number: usize, cx: &Context) {
    let Some(takes) = world.plan.life.reloads else { return };
    let seen = &world.life.services[number];
    let mut reloads = cx.reloads();
    while reloads.next().await.is_some() {
        seen.count.set(seen.count.get() + 1);
        seen.began.set(Some(world.now()));
        if seen.count.get() > world.life.asked.get() {
            world.violation(format_args!("{number}: a reload that nobody has asked for"));
        }
        seen.is_busy.set(true);
        cx.sleep(takes).await;
        seen.is_busy.set(false);
    }
}

/// Whether the service's own work goes on, before there is a cause.
fn is_alive(world: &World, number: usize) -> bool {
    match &world.plan.services[number] {
        ServicePlan::Spawns(_) => false,
        ServicePlan::Fails(at) | ServicePlan::Panics(at) | ServicePlan::Returns(at) => {
            world.now() < *at
        }
        _ => true,
    }
}

type Change = Pin<Box<dyn Future<Output = ()>>>;

/// Remembers since when nobody was there.
#[derive(Default)]
pub struct LifeWatch {
    was_busy: bool,
    quiet_since: Duration,
    /// How many connections there have been.
    connections: usize,
    /// At the cause the idle time was over.
    was_idle: bool,
    /// Who held readiness back at the last look, and what waits for the next change of it.
    held: Option<(Vec<String>, Change)>,
}

impl LifeWatch {
    pub fn look(&mut self, world: &World) {
        let status = world.status.borrow();
        let Some(status) = &*status else { return };
        let now = world.now();
        if world.leaving() {
            if status.is_ready() {
                world.violation(format_args!("it is ready, and ends"));
            }
            if world.cause.get().is_none() {
                let is_due = |limit| now >= self.quiet_since + limit;
                self.was_idle = world.plan.life.idle.is_some_and(is_due);
            }
            return;
        }
        self.readiness(world, status);
        self.idle(world, status);
        reloads(world, status);
        let is_late = world.plan.life.ready_within.is_some_and(|limit| now >= limit);
        if is_late && status.phase() == Phase::Starting {
            world.violation(format_args!("it was not ready in time, and goes on"));
        }
    }

    fn readiness(&mut self, world: &World, status: &Status) {
        let now = world.now();
        let holds = world.plan.life.holds.iter().enumerate();
        let holds = holds.filter_map(|(number, hold)| Some((number, (*hold)?)));
        let is_on = |(number, (from, time)): &(usize, (Duration, Duration))| {
            *from <= now && now < *from + *time && is_alive(world, *number)
        };
        let held: Vec<_> = holds.filter(is_on).map(|(number, _)| number.to_string()).collect();
        let mut told: Vec<_> = status.not_ready().into_iter().map(|held| held.service).collect();
        told.sort();
        if told != held {
            world.violation(format_args!("{held:?} hold readiness back, and it says {told:?}"));
        }
        if status.is_ready() != held.is_empty() {
            world.violation(format_args!("{held:?} hold readiness back, and it is otherwise"));
        }
        // Within this instant one may have let go before another took hold.
        let before = self.held.as_ref().map_or(&[][..], |(held, _)| held);
        let changes = before.iter().any(|one| !held.contains(one));
        if held.is_empty() || (changes && status.phase() == Phase::Serving) {
            world.life.was_ready.set(true);
        }
        let changed = || Box::pin(status.changed()) as Change;
        let seen = self.held.get_or_insert_with(|| (held.clone(), changed()));
        if seen.0 != held {
            if future::block_on(future::poll_once(&mut seen.1)).is_none() {
                world.violation(format_args!("nobody hears that {held:?} hold readiness back"));
            }
            *seen = (held, changed());
        }
    }

    /// When there was last a connection or a task in the first stage, or nobody was ready.
    fn idle(&mut self, world: &World, status: &Status) {
        let now = world.now();
        let first = || (0..world.served.len()).filter(|&i| world.plan.stages[i] == 0);
        let is_busy = |number: usize| {
            let served = &world.served[number];
            served.ends.borrow().iter().any(|end| !look(end).dropped)
                || Rc::strong_count(&served.busy) > 1
                || matches!(world.plan.services[number], ServicePlan::Spawns(_))
        };
        let busy = !status.is_ready() || first().any(is_busy);
        let connections = first().map(|i| world.served[i].ends.borrow().len()).sum();
        let returns = |i| matches!(world.plan.services[i], ServicePlan::Returns(at) if at == now);
        if busy || self.was_busy || connections != self.connections || first().any(returns) {
            self.quiet_since = now;
        }
        (self.was_busy, self.connections) = (busy, connections);
        if world.plan.life.idle.is_some_and(|limit| now >= self.quiet_since + limit) {
            world.violation(format_args!("nobody is there, and it goes on"));
        }
    }

    /// Whether this was a cause at this time, of those that are judged here.
    pub fn is_a_cause(&self, world: &World, cause: &Cause, time: Duration) -> bool {
        let life = &world.plan.life;
        match cause {
            Cause::MainEnded(name) => name.parse().is_ok_and(|number: usize| {
                let earlier = time.checked_sub(Duration::from_millis(1));
                let ended = |time| life.has_ended(world, number, time);
                life.mains.len() > number && ended(time) && !earlier.is_some_and(ended)
            }),
            Cause::NotReady(held) => {
                life.ready_within == Some(time) && !held.is_empty() && !world.life.was_ready.get()
            }
            Cause::Idle => self.was_idle,
            _ => false,
        }
    }
}

/// A service that is there sees each reload, and it is known how long it takes.
fn reloads(world: &World, status: &Status) {
    let services = &world.life.services;
    for (number, seen) in services.iter().enumerate().filter(|(i, _)| is_alive(world, *i)) {
        let missed = seen.began.get() < world.life.asked_at.get() && !seen.is_busy.get();
        if world.plan.life.reloads.is_some() && missed {
            world.violation(format_args!("{number}: does not reload"));
        }
    }
    let alive = services.iter().enumerate().filter(|(i, _)| is_alive(world, *i));
    let is_busy = alive.clone().any(|(_, seen)| seen.is_busy.get());
    if status.is_reloading() != is_busy {
        world.violation(format_args!("a service reloads: {is_busy}, and it is told otherwise"));
    }
}
