//! The phases of a run and of its services, as every service can see them.

use std::pin::Pin;

use adieu::Phase;
use futures_lite::future;

use crate::watch::have_ended;
use crate::world::World;

type Change = Pin<Box<dyn Future<Output = ()>>>;

/// The phase at the last look, and what waits for the next change of it.
#[derive(Default)]
pub struct Phases(Option<(Phase, Change)>);

impl Phases {
    /// What the run says of itself is what is seen of it, and those who wait for a change hear of it.
    pub fn look(&mut self, world: &World, finished: bool) {
        let status = world.status.borrow();
        let Some(status) = &*status else { return };
        let phase = status.phase();
        let first_is_over = world.told(0) || have_ended(world, 0);
        let expected = match () {
            () if finished => Phase::Ended,
            () if !world.leaving() && !world.life.was_ready.get() => Phase::Starting,
            () if !world.leaving() => Phase::Serving,
            () if !first_is_over && !world.plan.lame_duck.is_zero() => Phase::LameDuck,
            () => Phase::Draining,
        };
        if phase != expected {
            world.violation(format_args!("the run is {expected}, and says {phase}"));
        }
        for (service, stage) in status.services().iter().zip(&world.plan.stages) {
            let expected = match () {
                () if service.phase == Phase::Ended => Phase::Ended,
                () if world.told(*stage) => Phase::Draining,
                () if phase == Phase::LameDuck && *stage == 0 => Phase::LameDuck,
                () => Phase::Serving,
            };
            if (service.phase, service.stage) != (expected, *stage) {
                world.violation(format_args!("{service:?} is {expected} in stage {stage}"));
            }
        }
        let before = self.0.get_or_insert_with(|| (phase, Box::pin(status.changed())));
        if before.0 != phase {
            if future::block_on(future::poll_once(&mut before.1)).is_none() {
                world.violation(format_args!("nobody hears that the run is {phase}"));
            }
            *before = (phase, Box::pin(status.changed()));
        }
    }
}
