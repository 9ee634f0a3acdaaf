//! Workers that are started anew when they fail: what they do, and whether they were started when they should.

use std::rc::Rc;
use std::time::Duration;

use adieu::{BoxError, Context, GaveUp, Outcome, RestartPolicy, Service, ServiceReport, restart};

use crate::plan::{RestartPlan, ServicePlan};
use crate::world::World;

/// A worker that fails as its plan says, under the policy of its plan.
pub async fn serve(world: Rc<World>, number: usize, cx: Context) -> Result<(), BoxError> {
    let plan = plan(&world, number).expect("it is such a worker");
    let (most, within) = plan.most;
    let policy = RestartPolicy::new()
        .jitter(0.0)
        .pause(plan.first_pause, plan.longest_pause)
        .healthy_after(plan.healthy)
        .give_up_after(most as u32, within);
    let make = move || {
        let world = world.clone();
        move |cx: Context| work(world, number, cx)
    };
    restart(policy, make).serve(cx).await
}

fn plan(world: &World, number: usize) -> Option<&RestartPlan> {
    match &world.plan.services[number] {
        ServicePlan::Restarts(plan) => Some(plan),
        _ => None,
    }
}

async fn work(world: Rc<World>, number: usize, cx: Context) -> Result<(), BoxError> {
    let _alive = world.alive.clone();
    let served = &world.served[number];
    world.tell(format_args!("{number}: starts"));
    let start = served.started.borrow().len();
    served.started.borrow_mut().push(world.now());
    let fails = plan(&world, number).and_then(|plan| plan.fails.get(start));
    let Some((runs, panics)) = fails else {
        cx.shutdown().begun().await;
        return Ok(());
    };
    cx.sleep(*runs).await;
    world.tell(format_args!("{number}: fails"));
    served.failed.borrow_mut().push(world.now());
    match panics {
        true => panic!("simulated panic"),
        false => Err("simulated failure".into()),
    }
}

/// How many of the first `failures` are within the time that counts.
fn recent(plan: &RestartPlan, failed: &[Duration], failures: usize) -> usize {
    let now = failed[failures - 1];
    failed[..failures].iter().filter(|at| now - **at < plan.most.1 || **at == now).count()
}

/// Which failure was one too many.
fn too_many(plan: &RestartPlan, failed: &[Duration]) -> Option<usize> {
    (1..=failed.len()).find(|&failures| recent(plan, failed, failures) >= plan.most.0)
}

/// Whether a worker has failed once too often.
pub fn gave_up(world: &World, number: usize) -> bool {
    let failed = world.served[number].failed.borrow();
    plan(world, number).is_some_and(|plan| too_many(plan, &failed).is_some())
}

/// The pause after each failure.
fn pauses(plan: &RestartPlan, started: &[Duration], failed: &[Duration]) -> Vec<Duration> {
    let mut in_a_row = 0;
    let pause = |(start, end): (&Duration, &Duration)| {
        in_a_row = if *end - *start >= plan.healthy { 1 } else { in_a_row + 1 };
        let doubled = plan.first_pause * (1 << (in_a_row - 1));
        doubled.min(plan.longest_pause.max(plan.first_pause))
    };
    started.iter().zip(failed).map(pause).collect()
}

/// Whether a worker was started when it should, and its end is the right one.
pub fn judge(
    world: &World,
    number: usize,
    plan: &RestartPlan,
    report: &ServiceReport,
) -> Result<(), String> {
    let served = &world.served[number];
    let (started, failed) = (served.started.borrow(), served.failed.borrow());
    let cause = world.cause.get().unwrap_or(Duration::MAX);
    if report.counts.restarted as usize + 1 != started.len() {
        return Err(format!("{} starts, and the report says {:?}", started.len(), report.counts));
    }
    let gave_up = too_many(plan, &failed);
    for (number, pause) in pauses(plan, &started, &failed).iter().enumerate() {
        let due = failed[number] + *pause;
        let is_final = gave_up == Some(number + 1);
        match started.get(number + 1) {
            Some(start) if *start != due => {
                return Err(format!("started at {start:?}, and it was due at {due:?}"));
            }
            Some(_) if is_final => return Err("started after it was given up".to_owned()),
            // What happens in the very instant of the cause may come before it.
            Some(_) if failed[number] > cause || due > cause => {
                return Err("started once there was a cause".to_owned());
            }
            None if !is_final && due < cause => return Err(format!("not started at {due:?}")),
            _ => {}
        }
    }
    let last = (failed.len() == started.len()).then(|| failed.last().copied()).flatten();
    let right = match (&report.outcome, last) {
        (Outcome::Failed(error), Some(last)) => match error.downcast_ref::<GaveUp>() {
            Some(error) => {
                let named = error.failures as usize == recent(plan, &failed, failed.len());
                gave_up == Some(failed.len()) && named && last <= cause
            }
            None => last >= cause,
        },
        // It was in a pause when the cause came; or what it was told to do was done.
        (Outcome::Finished, Some(last)) => gave_up.is_none() && last <= cause,
        (Outcome::Finished, None) => true,
        // It was at work when its time was over.
        (Outcome::CutOff, last) => last.is_none(),
        _ => false,
    };
    match right {
        true => Ok(()),
        false => Err(format!("it {}; started {started:?}, failed {failed:?}", report.outcome)),
    }
}
