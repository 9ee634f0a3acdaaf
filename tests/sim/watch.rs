//! The invariants that hold whenever nothing more happens at an instant.

use std::cell::Ref;
use std::rc::Rc;
use std::time::Duration;

use adieu::Signal;

use crate::client_plan::{ClientPlan, Talk};
use crate::http2;
use crate::life::LifeWatch;
use crate::net::look;
use crate::phases::Phases;
use crate::plan::{Event, ServicePlan};
use crate::restarts;
use crate::world::{Seen, World};

/// Half a head gets so long in the drain, and time limits are kept so finely.
pub const HEAD_GRACE: Duration = Duration::from_millis(2_000);
pub const SWEEP: Duration = Duration::from_millis(100);
/// How long a connection stays that has just been accepted and has sent nothing.
pub const FRESH: Duration = Duration::from_millis(20);
/// How long a connection lingers, before and in the drain.
pub const LINGER: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(100)];
/// The longest pause between two attempts to accept.
const BACK_OFF: Duration = Duration::from_secs(1);

/// Remembers when shutdown began, when each stage was told, and when the run was over.
#[derive(Default)]
pub struct Watch {
    pub cause: Option<Duration>,
    told: Vec<Option<Duration>>,
    pub finished: Option<Duration>,
    phases: Phases,
    pub life: LifeWatch,
}

impl Watch {
    pub fn look(&mut self, world: &World, finished: bool) {
        let now = world.now();
        self.told.resize(world.plan.reserves.len(), None);
        world.served.iter().for_each(|served| served.failed_accepts.set(0));
        self.connections(world);
        for (number, (plan, seen)) in world.plan.clients.iter().zip(&world.seen).enumerate() {
            if let Some(http2) = &plan.http2 {
                http2::look_at_health(world, number, http2, &seen.borrow());
            }
        }
        self.life.look(world);
        self.phases.look(world, finished);
        if !world.leaving() {
            if has_cause(world) {
                world.violation(format_args!("there is a cause, and shutdown has not begun"));
            }
            return;
        }
        let cause = *self.cause.get_or_insert(now);
        world.cause.set(Some(cause));
        if finished && self.finished.is_none() {
            self.finished = Some(now);
            nothing_is_left(world);
        }
        if !finished {
            if now >= cause.saturating_add(grace(world, cause)) {
                world.violation(format_args!("it goes on after the deadline"));
            }
            if world.aborted.get() {
                world.violation(format_args!("a second signal did not end it"));
            }
        }
        self.lame_duck(world, cause, finished);
        for stage in 0..self.told.len() {
            self.stage(world, stage, finished);
        }
        if !finished && (0..self.told.len()).all(|stage| have_ended(world, stage)) {
            world.violation(format_args!("every service has ended, and the run goes on"));
        }
    }

    /// The first stage is a lame duck for as long as it should be.
    fn lame_duck(&self, world: &World, cause: Duration, finished: bool) {
        let now = world.now();
        let end = (cause + world.plan.lame_duck).min(until(world, 0).unwrap_or_default());
        let mut first = (0..world.served.len()).filter(|&i| world.plan.stages[i] == 0);
        if world.told(0) {
            let is_new = self.told[0].is_none();
            if is_new && !finished && now < end && first.any(|i| serves_on(world, i)) {
                world.violation(format_args!("the lame duck period is cut short"));
            }
        } else if !finished && !have_ended(world, 0) {
            if now >= end {
                world.violation(format_args!("it is a lame duck for too long"));
            }
            for number in first {
                if serves_on(world, number) && !world.served[number].network.is_open() {
                    world.violation(format_args!("{number}: a lame duck does not listen"));
                }
            }
        }
    }

    /// A stage is told when all before it have ended or have used up their time, and not before.
    fn stage(&mut self, world: &World, stage: usize, finished: bool) {
        let now = world.now();
        let is_due = |stage| until(world, stage).is_some_and(|at| now >= at);
        let is_over = |stage| have_ended(world, stage) || is_due(stage);
        if !world.told(stage) {
            let due = stage > 0 && (0..stage).all(is_over);
            if !finished && due && !have_ended(world, stage) {
                world.violation(format_args!("it is time for stage {stage}, which is not told"));
            }
            return;
        }
        if self.told[stage].is_none() {
            self.told[stage] = Some(now);
            if !(0..stage).all(is_over) && !world.aborted.get() {
                world.violation(format_args!("stage {stage} is told too early"));
            }
            self.drain_has_begun(world, stage);
        }
        for number in (0..world.served.len()).filter(|&i| world.plan.stages[i] == stage) {
            let handshakes = match world.plan.services[number] {
                ServicePlan::Http { handshakes, .. } if !finished => handshakes,
                _ => Duration::ZERO,
            };
            let late = self.told[stage].is_some_and(|told| now >= told + handshakes);
            let open = world.served[number].network.is_open();
            if late && open && serves_on(world, number) {
                world.violation(format_args!("{number}: still listens"));
            }
            let open = || world.served[number].ends.borrow().iter().any(|end| !look(end).dropped);
            if is_due(stage) && (open() || Rc::strong_count(&world.served[number].busy) > 1) {
                world.violation(format_args!("{number}: goes on when its time is over"));
            }
        }
        self.newcomers(world, stage);
        self.half_heads(world, stage);
        for (number, plan, seen) in all_clients(world, stage) {
            let told = self.told[stage].unwrap_or_default();
            if let Some(http2) = plan.http2.as_ref().filter(|_| !finished) {
                http2::look(world, told, number, plan, http2, &seen);
            }
        }
    }

    /// Whoever had just connected, and still has nothing to say.
    fn newcomers(&self, world: &World, stage: usize) {
        for (number, plan, seen) in clients(world, stage) {
            let silent = has_nothing_to_do(world, plan, &seen) && seen.answers.is_empty();
            if silent && !is_fresh(world, plan, &seen) && !has_closed(world, plan, &seen) {
                world.violation(format_args!("client {number} says nothing, and is not closed"));
            }
        }
    }

    /// Limits of connections, and how long each may linger.
    fn connections(&self, world: &World) {
        let now = world.now();
        for (number, served) in world.served.iter().enumerate() {
            let is_raw = matches!(world.plan.services[number], ServicePlan::Tcp);
            let told = self.told[world.plan.stages[number]];
            let linger = LINGER[usize::from(told.is_some() && !is_raw)];
            let mut open = 0;
            for (peer, end) in (1..).zip(&*served.ends.borrow()) {
                let mut end = look(end);
                if end.dropped {
                    end.dropped_at.get_or_insert(now);
                    continue;
                }
                open += 1;
                if end.half_closed {
                    let since = *end.half_closed_at.get_or_insert(now);
                    if now > since.max(told.unwrap_or_default()) + linger {
                        world.violation(format_args!("{number}: client {peer} lingers"));
                    }
                }
            }
            if let ServicePlan::Http { max_connections, .. } = world.plan.services[number] {
                // The accept queue is emptied whatever the limit.
                if open > max_connections && !world.draining(number) {
                    world.violation(format_args!("{number}: more connections than the limit"));
                }
            }
        }
    }

    /// At the same instant a client that has nothing to do is let go.
    fn drain_has_begun(&self, world: &World, stage: usize) {
        for (number, plan, seen) in clients(world, stage) {
            let idle = has_nothing_to_do(world, plan, &seen) && !is_fresh(world, plan, &seen);
            if idle && !has_closed(world, plan, &seen) {
                world.violation(format_args!("client {number} is idle, and not closed at once"));
            }
        }
    }

    /// Whoever has sent half a head is let go two seconds after the drain began.
    fn half_heads(&self, world: &World, stage: usize) {
        let began = self.told[stage].unwrap_or_default();
        for (number, plan, seen) in clients(world, stage) {
            let Some(asked) = seen.requests.get(seen.answers.len()) else {
                continue;
            };
            let (Some(first), None) = (asked.first, asked.head) else {
                continue;
            };
            // Only when it was next in turn did its two seconds begin.
            let turn = seen.answers.last().map_or(Duration::ZERO, |(_, at)| at.time);
            let accepted = accepted_at(world, plan, &seen);
            let since = began.max(first.time).max(turn).max(accepted);
            let slow = !plan.reads.1.is_zero();
            let late = world.now().saturating_sub(since) > HEAD_GRACE + SWEEP;
            if late && !slow && !has_closed(world, plan, &seen) {
                world.violation(format_args!("client {number} has not sent a head, and stays"));
            }
        }
    }
}

/// The clients of a stage's services, and what is seen of them, but for those that speak HTTP/2.
fn clients(
    world: &World,
    stage: usize,
) -> impl Iterator<Item = (usize, &ClientPlan, Ref<'_, Seen>)> {
    all_clients(world, stage).filter(|(_, plan, _)| plan.http2.is_none())
}

fn all_clients(
    world: &World,
    stage: usize,
) -> impl Iterator<Item = (usize, &ClientPlan, Ref<'_, Seen>)> {
    let clients = world.plan.clients.iter().zip(&world.seen).enumerate();
    let of_stage = clients.filter(move |(_, (plan, _))| world.plan.stages[plan.service] == stage);
    of_stage.map(|(number, (plan, seen))| (number, plan, seen.borrow()))
}

fn has_cause(world: &World) -> bool {
    let past = |at: &Duration| *at <= world.now();
    let asked = world
        .plan
        .events
        .iter()
        .any(|(at, event)| past(at) && event.is_cause() && !world.plan.life.is_reload(event));
    let failed = world.plan.services.iter().any(|service| match service {
        ServicePlan::Fails(at) | ServicePlan::Panics(at) => past(at),
        _ => false,
    });
    let gave_up = |number| restarts::gave_up(world, number);
    let has_ended = |number| world.plan.life.has_ended(world, number, world.now());
    let ended = (0..world.served.len()).any(|number| gave_up(number) || has_ended(number));
    asked || failed || ended || all_have_finished(world, world.now())
}

/// Whether every service that keeps a run alive had come to its end by itself at this time.
pub fn all_have_finished(world: &World, time: Duration) -> bool {
    let mut first = world.plan.services.iter().zip(&world.plan.stages);
    first.all(|(service, stage)| match service {
        ServicePlan::Returns(at) => *stage > 0 || *at <= time,
        _ => *stage > 0,
    })
}

/// When a stage's time is over; `None` before there is a cause.
pub fn until(world: &World, stage: usize) -> Option<Duration> {
    // At the instant of the cause nobody has looked yet.
    let cause = world.cause.get().or(world.leaving().then(|| world.now()))?;
    let behind: Duration = world.plan.reserves[stage + 1..].iter().sum();
    Some(cause.saturating_add(grace(world, cause).saturating_sub(behind)))
}

/// SIGQUIT leaves no time.
fn grace(world: &World, cause: Duration) -> Duration {
    let quits = |(at, event): &(Duration, Event)| {
        *at == cause && matches!(event, Event::Signal(Signal::Quit))
    };
    if world.plan.events.iter().any(quits) { Duration::ZERO } else { world.plan.grace }
}

/// Whatever happened, nothing of a run outlives it.
fn nothing_is_left(world: &World) {
    if Rc::strong_count(&world.alive) > 1 {
        world.violation(format_args!("a task is left"));
    }
    if world.timers() > 0 {
        world.violation(format_args!("a timer is left"));
    }
    for (number, served) in world.served.iter().enumerate() {
        if served.network.is_open() || served.ends.borrow().iter().any(|end| !look(end).dropped) {
            world.violation(format_args!("{number}: a socket is left open"));
        }
    }
}

/// All it has sent was answered, or it has sent nothing.
fn has_nothing_to_do(world: &World, plan: &ClientPlan, seen: &Seen) -> bool {
    if matches!(world.plan.services[plan.service], ServicePlan::Tcp) {
        let listens = !matches!(plan.talk, Talk::Stubborn);
        return seen.peer.is_some() && listens && seen.raw_received.len() == seen.raw_sent.len();
    }
    let begun = seen.requests.iter().filter(|asked| asked.first.is_some());
    seen.peer.is_some()
        && begun.clone().all(|asked| asked.last.is_some())
        && begun.count() == seen.answers.len()
        && seen.answers.last().is_none_or(|(answer, _)| answer.status != 101)
}

/// It was accepted a moment ago and has sent nothing yet: it may still do so.
fn is_fresh(world: &World, plan: &ClientPlan, seen: &Seen) -> bool {
    let silent = seen.answers.is_empty() && seen.raw_sent.is_empty();
    silent && world.now() <= accepted_at(world, plan, seen).saturating_add(FRESH)
}

/// It was accepted, and has been half-closed at least; or it waits where accepting has trouble.
fn has_closed(world: &World, plan: &ClientPlan, seen: &Seen) -> bool {
    let ends = world.served[plan.service].ends.borrow();
    match seen.peer.and_then(|peer| ends.get(peer - 1)) {
        Some(end) => look(end).dropped || look(end).half_closed,
        None => {
            !world.served[plan.service].network.is_open()
                || has_trouble(world, plan.service, world.now())
        }
    }
}

fn accepted_at(world: &World, plan: &ClientPlan, seen: &Seen) -> Duration {
    let ends = world.served[plan.service].ends.borrow();
    let end = seen.peer.and_then(|peer| ends.get(peer - 1));
    end.map_or(Duration::MAX, |end| look(end).accepted_at)
}

/// It ends only when it is told to, and then stops listening at once.
fn serves_on(world: &World, service: usize) -> bool {
    world.plan.services[service].listens() && !has_trouble(world, service, world.now())
}

/// Its accept queue may be slow to empty, or its listener is broken.
pub fn has_trouble(world: &World, service: usize, now: Duration) -> bool {
    world.plan.events.iter().any(|(at, event)| match event {
        _ if *at > now => false,
        Event::Accept(of, error) => *of == service && *error != libc::ECONNABORTED,
        Event::Starve(of, time) => *of == service && now <= *at + *time + BACK_OFF,
        _ => false,
    })
}

/// Whether every service of a stage has ended, and so have the tasks of its handlers.
pub fn have_ended(world: &World, stage: usize) -> bool {
    let mut services = (0..world.served.len()).filter(|&i| world.plan.stages[i] == stage);
    services.all(|i| has_ended(world, i))
}

fn has_ended(world: &World, service: usize) -> bool {
    let (served, now) = (&world.served[service], world.now());
    match &world.plan.services[service] {
        ServicePlan::Http { .. } | ServicePlan::Tcp => {
            let closed = served.ends.borrow().iter().all(|end| look(end).dropped);
            !served.network.is_open() && closed && Rc::strong_count(&served.busy) == 1
        }
        ServicePlan::Stuck => false,
        ServicePlan::Told(takes) => served.told.get().is_some_and(|told| now >= told + *takes),
        ServicePlan::Spawns(takes) => {
            let takes = takes[0].max(takes[1]);
            served.told.get().is_some_and(|told| now >= told + takes)
        }
        ServicePlan::Restarts(_) => served.returned.get(),
        ServicePlan::Fails(at) | ServicePlan::Panics(at) | ServicePlan::Returns(at) => now >= *at,
    }
}
