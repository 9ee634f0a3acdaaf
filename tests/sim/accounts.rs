//! Whether the report of each service tells what the clients have seen.

use std::cell::Ref;

use adieu::{Outcome, Report, Straggler};

use crate::client_plan::{ClientPlan, Then};
use crate::net::{End, look};
use crate::plan::ServicePlan;
use crate::restarts;
use crate::watch::until;
use crate::world::{Seen, World};

pub fn judge(world: &World, report: &Report, number: usize) -> Result<(), String> {
    let served = &world.served[number];
    let service = &report.services[number];
    let counts = &service.counts;
    let ends = served.ends.borrow();
    let ends: Vec<_> = ends.iter().map(look).collect();
    let equal = |what: &str, reported: u64, seen: usize| match reported == seen as u64 {
        true => Ok(()),
        false => Err(format!("{what}: the report says {reported}, and it was {seen}")),
    };
    if served.network.is_open() || ends.iter().any(|end| !end.dropped) {
        return Err("a socket is left open".to_owned());
    }
    equal("accepted", counts.accepted, ends.len())?;
    equal("panicked", counts.panicked, served.panics.get() as usize)?;
    let named = report.stragglers.iter().filter(|left| left.service == service.name);
    let named = named.filter(|left| left.connection.is_some()).count();
    equal("cut off", counts.cut_off, named)?;
    let planned = || {
        let clients = world.plan.clients.iter().zip(&world.seen);
        let clients = clients.filter(|(plan, _)| plan.service == number);
        clients.map(|(plan, seen)| (plan, seen.borrow()))
    };
    let clients = || planned().map(|(_, seen)| seen);
    // A reset may have cost the client answers that the server has written, and so may leaving early.
    let lost: usize = planned()
        .filter(|(plan, seen)| plan.http2.is_none() && (seen.reset || seen.perhaps_whole))
        .map(|(_, seen)| seen.requests.iter().filter(|asked| asked.first.is_some()).count())
        .sum();
    let about = |what: &str, reported: u64, seen: usize, lost: usize| match reported
        .checked_sub(seen as u64)
    {
        Some(more) if more <= lost as u64 => Ok(()),
        _ => Err(format!("{what}: the report says {reported}, and it was {seen}, {lost} unknown")),
    };
    let got = |is_http2: bool| {
        let of_version = planned().filter(move |(plan, _)| plan.http2.is_some() == is_http2);
        of_version.map(|(_, seen)| seen.answers.len()).sum::<usize>()
    };
    // Over HTTP/2 it is known what was written.
    let streams = ends.iter().map(|end| end.http2.answered()).sum::<usize>();
    about("requests", counts.requests, got(false) + streams, lost)?;
    for (class, &count) in (1..).zip(&counts.statuses) {
        let of_class = |seen: &Seen| {
            seen.answers.iter().filter(|(answer, _)| answer.status / 100 == class).count()
        };
        let lost = lost + streams.saturating_sub(got(true));
        about(&format!("{class}xx"), count, clients().map(|seen| of_class(&seen)).sum(), lost)?;
    }
    equal("timed", counts.latency.count(), counts.requests as usize)?;
    let is_http = matches!(world.plan.services[number], ServicePlan::Http { .. });
    // Whether or not the client has seen the 101: a reset may have cost it that.
    let upgrades = world
        .plan
        .clients
        .iter()
        .zip(&world.seen)
        .any(|(plan, seen)| plan.service == number && was_upgraded(plan, &seen.borrow()));
    if is_http && !upgrades {
        let sum = |one: fn(&End) -> u64| ends.iter().map(|end| one(end)).sum::<u64>() as usize;
        equal("bytes received", counts.received, sum(|end| end.read))?;
        equal("bytes sent", counts.sent, sum(|end| end.written))?;
    }
    if !upgrades {
        let ended = counts.drained + counts.closed_idle + counts.cut_off;
        let seen = ends.iter().filter(|end| end.dropped_draining).count();
        equal("ended in the drain", ended, seen)?;
    }
    let did_work = |seen: &Seen| {
        seen.answered().any(|asked| asked.handled.is_some_and(|handled| handled.draining))
    };
    let worked = clients().filter(|seen| did_work(seen)).count() as u64;
    if counts.drained + counts.cut_off < worked {
        return Err(format!("{worked} worked in the drain, and the report says {counts:?}"));
    }
    let was_idle = |(plan, seen): &(&ClientPlan, Ref<'_, Seen>)| {
        let end = seen.peer.and_then(|peer| ends.get(peer - 1));
        let silent = seen.requests.iter().all(|asked| asked.first.is_none());
        // To send a preface, or part of one, is something to do, and so is to watch the health.
        let greets = |end: &End| end.began_draining || end.http2.is_part() || end.http2.asked();
        let had_nothing = |end: &End| plan.http2.is_none() || !greets(end);
        is_http && silent && end.is_some_and(|end| end.dropped_draining && had_nothing(end))
    };
    let idle = planned().filter(was_idle).count() as u64;
    if counts.closed_idle + counts.cut_off < idle {
        return Err(format!("{idle} had nothing to do, and the report says {counts:?}"));
    }
    judge_outcome(world, report, number)
}

/// Whether a handler has made the connection its own.
fn was_upgraded(plan: &ClientPlan, seen: &Seen) -> bool {
    plan.requests.iter().zip(&seen.requests).any(|(plan, asked)| {
        matches!(plan.handling.then, Then::Upgrade { .. }) && asked.handled.is_some()
    })
}

/// Whether a service of another kind ended as it should have.
fn judge_outcome(world: &World, report: &Report, number: usize) -> Result<(), String> {
    let outcome = &report.services[number].outcome;
    let in_time = report.aborted.is_none();
    let stragglers =
        report.stragglers.iter().filter(|left| left.service == report.services[number].name);
    let ended_in_time = |takes| {
        let Some(told) = world.served[number].told.get() else {
            return Err("it was dropped untold".to_owned());
        };
        let until = until(world, world.plan.stages[number]).unwrap_or_default();
        Ok(matches!(outcome, Outcome::Finished) || !in_time || told + takes >= until)
    };
    let right = match &world.plan.services[number] {
        ServicePlan::Stuck => matches!(outcome, Outcome::CutOff),
        ServicePlan::Told(takes) => ended_in_time(*takes)?,
        ServicePlan::Spawns(takes) => {
            let left = takes.len() - world.served[number].done.get();
            let named = |named: &Straggler| named.tasks.as_ref().map_or(0, |tasks| tasks.count);
            let named: usize = stragglers.clone().map(named).sum();
            if named != left {
                return Err(format!("{left} tasks are left, and the report names {named}"));
            }
            ended_in_time(takes[0].max(takes[1]))?
        }
        ServicePlan::Restarts(plan) => {
            restarts::judge(world, number, plan, &report.services[number])?;
            true
        }
        _ => true,
    };
    let named = stragglers.count() > 0;
    match right && named == matches!(outcome, Outcome::CutOff) || outcome.is_failure() {
        true => Ok(()),
        false => Err(format!("it {outcome}")),
    }
}
