//! The invariants that hold whenever nothing more happens at an instant.

use std::rc::Rc;
use std::time::Duration;

use crate::net::look;
use crate::plan::{ClientPlan, Event, ServicePlan};
use crate::world::{Seen, World};

/// Half a head gets so long in the drain, and time limits are kept so finely.
const HEAD_GRACE: Duration = Duration::from_millis(2_000);
const SWEEP: Duration = Duration::from_millis(100);
/// How long a connection lingers, before and in the drain.
const LINGER: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(100)];

/// Remembers when shutdown began, and when the drain did.
#[derive(Default)]
pub struct Watch {
    cause: Option<Duration>,
    began: Option<Duration>,
}

impl Watch {
    pub fn look(&mut self, world: &World, finished: bool) {
        let now = world.now();
        world.served.iter().for_each(|served| served.failed_accepts.set(0));
        self.connections(world);
        if !world.leaving() {
            if has_cause(world) {
                world.violation(format_args!("there is a cause, and shutdown has not begun"));
            }
            return;
        }
        let cause = *self.cause.get_or_insert(now);
        if !finished {
            if now >= cause.saturating_add(world.plan.grace) {
                world.violation(format_args!("it goes on after the deadline"));
            }
            if world.aborted.get() {
                world.violation(format_args!("a second signal did not end it"));
            }
        }
        match self.began {
            Some(began) => self.draining(world, began, finished),
            None if world.draining() => {
                self.began = Some(now);
                let lame_duck = world.plan.lame_duck.min(world.plan.grace);
                let mut services = 0..world.served.len();
                if !finished && now < cause + lame_duck && services.any(|i| serves_on(world, i)) {
                    world.violation(format_args!("the lame duck period is cut short"));
                }
                self.drain_has_begun(world);
                self.draining(world, now, finished);
            }
            None if !finished => self.lame_duck(world, cause),
            None => {}
        }
    }

    fn lame_duck(&self, world: &World, cause: Duration) {
        if world.now() >= cause + world.plan.lame_duck {
            world.violation(format_args!("it is a lame duck for too long"));
        }
        for (number, served) in world.served.iter().enumerate() {
            if serves_on(world, number) && !served.network.is_open() {
                world.violation(format_args!("{number}: a lame duck does not listen"));
            }
        }
    }

    fn draining(&self, world: &World, began: Duration, finished: bool) {
        self.newcomers(world);
        self.half_heads(world, began);
        let now = world.now();
        let nobody_is_busy = Rc::strong_count(&world.busy) == 1;
        let mut services = 0..world.served.len();
        if !finished && nobody_is_busy && services.all(|i| has_ended(world, i, now, began)) {
            world.violation(format_args!("every service has ended, and the run goes on"));
        }
    }

    /// Whoever had just connected, and still has nothing to say.
    fn newcomers(&self, world: &World) {
        for (number, seen) in world.seen.iter().enumerate() {
            let (plan, seen) = (&world.plan.clients[number], seen.borrow());
            let silent = has_nothing_to_do(&seen) && seen.answers.is_empty();
            if silent && !is_fresh(world, plan, &seen) && !has_closed(world, plan, &seen) {
                world.violation(format_args!("client {number} says nothing, and is not closed"));
            }
        }
    }

    /// Limits of connections, and how long each may linger.
    fn connections(&self, world: &World) {
        let now = world.now();
        let linger = LINGER[usize::from(self.began.is_some())];
        for (number, served) in world.served.iter().enumerate() {
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
                    if now > since.max(self.began.unwrap_or_default()) + linger {
                        world.violation(format_args!("{number}: client {peer} lingers"));
                    }
                }
            }
            if let ServicePlan::Http { max_connections, .. } = world.plan.services[number] {
                // The accept queue is emptied whatever the limit.
                if open > max_connections && !world.draining() {
                    world.violation(format_args!("{number}: more connections than the limit"));
                }
            }
        }
    }

    /// At the same instant listeners are closed, and so is whoever has nothing to do.
    fn drain_has_begun(&self, world: &World) {
        for (number, served) in world.served.iter().enumerate() {
            if serves_on(world, number) && served.network.is_open() {
                world.violation(format_args!("{number}: still listens"));
            }
        }
        for (number, seen) in world.seen.iter().enumerate() {
            let (plan, seen) = (&world.plan.clients[number], seen.borrow());
            let idle = has_nothing_to_do(&seen) && !is_fresh(world, plan, &seen);
            if idle && !has_closed(world, plan, &seen) {
                world.violation(format_args!("client {number} is idle, and not closed at once"));
            }
        }
    }

    /// Whoever has sent half a head is let go two seconds after the drain began.
    fn half_heads(&self, world: &World, began: Duration) {
        for (number, seen) in world.seen.iter().enumerate() {
            let (plan, seen) = (&world.plan.clients[number], seen.borrow());
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

fn has_cause(world: &World) -> bool {
    let past = |at: &Duration| *at <= world.now();
    let asked = world
        .plan
        .events
        .iter()
        .any(|(at, event)| past(at) && matches!(event, Event::Signal(_) | Event::Trigger));
    let failed = world.plan.services.iter().any(|service| match service {
        ServicePlan::Fails(at) | ServicePlan::Panics(at) => past(at),
        _ => false,
    });
    asked || failed
}

/// All it has sent was answered, or it has sent nothing.
fn has_nothing_to_do(seen: &Seen) -> bool {
    let begun = seen.requests.iter().filter(|asked| asked.first.is_some());
    seen.peer.is_some()
        && begun.clone().all(|asked| asked.last.is_some())
        && begun.count() == seen.answers.len()
        && seen.answers.last().is_none_or(|(answer, _)| answer.status != 101)
}

/// It was accepted a moment ago and has sent nothing yet: it may still do so.
fn is_fresh(world: &World, plan: &ClientPlan, seen: &Seen) -> bool {
    const FRESH: Duration = Duration::from_millis(20);
    let silent = seen.answers.is_empty();
    silent && world.now() <= accepted_at(world, plan, seen).saturating_add(FRESH)
}

/// It was accepted, and has been half-closed at least; or it waits where accepting has trouble.
fn has_closed(world: &World, plan: &ClientPlan, seen: &Seen) -> bool {
    let ends = world.served[plan.service].ends.borrow();
    match seen.peer.and_then(|peer| ends.get(peer - 1)) {
        Some(end) => look(end).dropped || look(end).half_closed,
        None => !world.served[plan.service].network.is_open() || has_trouble(world, plan.service),
    }
}

fn accepted_at(world: &World, plan: &ClientPlan, seen: &Seen) -> Duration {
    let ends = world.served[plan.service].ends.borrow();
    let end = seen.peer.and_then(|peer| ends.get(peer - 1));
    end.map_or(Duration::MAX, |end| look(end).accepted_at)
}

/// It ends only when it is told to, and then stops listening at once.
fn serves_on(world: &World, service: usize) -> bool {
    let is_http = matches!(world.plan.services[service], ServicePlan::Http { .. });
    is_http && !has_trouble(world, service)
}

/// Its accept queue may be slow to empty.
fn has_trouble(world: &World, service: usize) -> bool {
    let scripted = |(_, event): &(Duration, Event)| match event {
        Event::Accept(of, _) | Event::Starve(of, _) => *of == service,
        _ => false,
    };
    let limited =
        matches!(world.plan.services[service], ServicePlan::Http { max_connections: ..100, .. });
    limited || world.plan.events.iter().any(scripted)
}

fn has_ended(world: &World, service: usize, now: Duration, began: Duration) -> bool {
    let served = &world.served[service];
    match &world.plan.services[service] {
        ServicePlan::Http { .. } => {
            !served.network.is_open() && served.ends.borrow().iter().all(|end| look(end).dropped)
        }
        ServicePlan::Stuck => false,
        ServicePlan::Told(takes) | ServicePlan::Spawns(takes) => now >= began + *takes,
        ServicePlan::Fails(at) | ServicePlan::Panics(at) | ServicePlan::Returns(at) => now >= *at,
    }
}
