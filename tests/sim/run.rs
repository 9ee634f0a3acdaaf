//! One run: a seed, one executor, and the time that jumps from one sleep to the next.

use std::rc::Rc;
use std::time::Duration;

use adieu::testing::memory;
use adieu::{Hangup, Report, Signal, SignalSource, Supervisor, Terms, Trigger};
use async_channel::{Receiver, Sender};
use futures_lite::{Stream, future};
use smol::LocalExecutor;

use crate::plan::{Event, Plan};
use crate::server::Simulated;
use crate::watch::Watch;
use crate::world::World;
use crate::{client, judge};

/// More turns of the executor than this at one instant, or more instants, are a loop without end.
const TURNS: usize = 100_000;
const INSTANTS: usize = 20_000;

/// Two signals closer together than this are one request.
const PAIR: Duration = Duration::from_millis(100);

/// The plan's signals, of which SIGHUP may ask for a reload.
struct Signals {
    received: Receiver<Signal>,
    reloads: bool,
}

impl SignalSource for Signals {
    fn signals(self, _terms: Terms) -> impl Stream<Item = Signal> {
        self.received
    }

    fn hangup(&self) -> Hangup {
        if self.reloads { Hangup::Reload } else { Hangup::ShutDown }
    }
}

/// What a seed has come to.
pub struct Outcome {
    pub violations: Vec<String>,
    pub hash: u64,
}

/// Runs one seed, and tells its story if `verbose`.
pub fn run(seed: u64, verbose: bool) -> Outcome {
    let plan = Plan::new(seed);
    if verbose {
        println!("{plan:#?}");
    }
    let (listeners, networks): (Vec<_>, Vec<_>) = plan.services.iter().map(|_| memory()).unzip();
    let world = Rc::new(World::new(plan, networks, verbose));
    let executor = LocalExecutor::new();
    let mut watch = Watch::default();
    let report = perform(&world, listeners, &executor, &mut watch);
    if let Some(report) = report {
        if verbose {
            println!("{report}");
        }
        judge::judge(&world, &report, &watch);
    }
    drop(executor);
    if Rc::strong_count(&world) > 1 {
        world.violation(format_args!("something is left of a handler, a service or a client"));
    }
    Outcome { violations: world.violations(), hash: world.hash() }
}

fn perform(
    world: &Rc<World>,
    listeners: Vec<adieu::testing::MemoryListener>,
    executor: &LocalExecutor<'static>,
    watch: &mut Watch,
) -> Option<Report> {
    let (signals, received) = async_channel::unbounded();
    let mut supervisor = Supervisor::new().clock(world.clock.clone()).grace(world.plan.grace);
    supervisor = supervisor.lame_duck(world.plan.lame_duck);
    if let Some(time) = world.plan.life.ready_within {
        supervisor = supervisor.ready_within(time);
    }
    if let Some(time) = world.plan.life.idle {
        supervisor = supervisor.exit_when_idle(time);
    }
    let mut listeners = listeners.into_iter().enumerate().peekable();
    for (stage, reserve) in world.plan.reserves.iter().enumerate() {
        if stage > 0 {
            supervisor = supervisor.next_stage();
        }
        supervisor = supervisor.reserve(*reserve);
        while let Some((number, listener)) =
            listeners.next_if(|(number, _)| world.plan.stages[*number] == stage)
        {
            let service = Simulated { world: world.clone(), number, listener };
            let name = number.to_string();
            supervisor = match world.plan.life.mains[number] {
                true => supervisor.main(&name, service),
                false => supervisor.service(&name, service),
            };
        }
    }
    let trigger = supervisor.trigger();
    let at_first = world.plan.events.iter().take_while(|(at, _)| at.is_zero()).count();
    let early = if world.plan.early { at_first } else { 0 };
    for (_, event) in &world.plan.events[..early] {
        happen(world, event, &signals, &trigger);
    }
    let run = executor
        .spawn(supervisor.run(Signals { received, reloads: world.plan.life.reloads.is_some() }));
    for number in 0..world.plan.clients.len() {
        executor.spawn(client::live(world.clone(), number)).detach();
    }
    executor.spawn(befall(world.clone(), early, signals, trigger)).detach();
    for _ in 0..INSTANTS {
        if !(0..TURNS).any(|_| !executor.try_tick()) {
            world.violation(format_args!("something goes on for ever at one instant"));
            break;
        }
        watch.look(world, run.is_finished());
        if !world.advance() {
            break;
        }
    }
    if world.clock.sleepers() > 0 {
        world.violation(format_args!("a timer is left, or time goes on for ever"));
    }
    if !run.is_finished() {
        world.violation(format_args!("the run does not end"));
        return None;
    }
    Some(future::block_on(run).expect("names are numbers"))
}

/// Lets the plan's events happen, but for the first ones, which have happened already.
async fn befall(world: Rc<World>, early: usize, signals: Sender<Signal>, trigger: Trigger) {
    for (at, event) in &world.plan.events[early..] {
        world.sleep(*at - world.now()).await;
        happen(&world, event, &signals, &trigger);
    }
}

fn happen(world: &World, event: &Event, signals: &Sender<Signal>, trigger: &Trigger) {
    let now = world.now();
    world.tell(format_args!("{event:?}"));
    match event {
        Event::Signal(signal) if world.plan.life.is_reload(event) => {
            world.life.ask_for_reload(world);
            let _ = signals.try_send(*signal);
        }
        Event::Signal(signal) => {
            let first = world.signalled.get().unwrap_or(now);
            world.signalled.set(Some(first));
            let aborts = now >= first + PAIR || *signal == Signal::Quit;
            world.aborted.set(world.aborted.get() || aborts);
            // The run may be over.
            let _ = signals.try_send(*signal);
        }
        Event::Trigger => trigger.shut_down(),
        Event::Accept(service, code) => {
            let error = std::io::Error::from_raw_os_error(*code);
            world.served[*service].network.fail_accept(error);
        }
        Event::Starve(service, time) => {
            world.served[*service].starved_until.set(now + *time);
        }
    }
}
