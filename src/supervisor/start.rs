//! Starts services: each gets its context, its slot and its task.

use std::cell::RefCell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use async_channel::Sender;
use futures_lite::FutureExt;
use log::error;
use smol::LocalExecutor;

use crate::base::clock::Stamp;
use crate::error::BoxError;
use crate::group;
use crate::register::{Polled, Register};
use crate::report::{Cause, Outcome};
use crate::service::{Context, Service};
use crate::shutdown::{Shutdown, shutdown};
use crate::slot::Slot;
use crate::stage::Stage;
use crate::status::Status;
use crate::words::LOG;

/// A service that was added and does not run yet.
pub(super) struct Added {
    pub(super) name: Rc<str>,
    serve: Box<dyn FnOnce(Context) -> Running>,
}

type Running = Pin<Box<dyn Future<Output = Result<(), BoxError>>>>;

impl Added {
    pub(super) fn new(name: &str, service: impl Service) -> Added {
        let serve = Box::new(|cx| Box::pin(service.serve(cx)) as Running);
        Added { name: name.into(), serve }
    }
}

/// What all services of a run are started with.
pub(super) struct Start<'a> {
    pub(super) executor: &'a Rc<LocalExecutor<'static>>,
    pub(super) status: &'a Status,
    /// What the thread is busy with.
    pub(super) polled: &'a Arc<Polled>,
    /// Tells the sweep that a service has shorter time limits.
    pub(super) shorter_limits: Sender<()>,
}

impl Start<'_> {
    pub(super) fn stage(&self, number: usize, services: Vec<Added>) -> Stage {
        let (stop, told) = shutdown();
        let start = |added| self.service(number, added, told.clone());
        Stage::new(services.into_iter().map(start).collect(), stop)
    }

    fn service(&self, stage: usize, Added { name, serve }: Added, told: Shutdown) -> Slot {
        let quiet = Stamp::new(self.status.clock().clone());
        let (group, member) = group::group(self.executor, quiet.clone());
        let (clock, shorter_limits) = (self.status.clock().clone(), self.shorter_limits.clone());
        let register = Register::new(&name, clock, self.polled.clone(), shorter_limits);
        let (status, spawner) = (self.status.clone(), member.clone());
        let cx = Context::new(name.clone(), stage, told, status, register.clone(), spawner);
        let outcome = Rc::new(RefCell::new(None));
        let turns = register.clone();
        let slot = Slot::new(name.clone(), stage, register, outcome.clone(), group, quiet);
        let status = self.status.clone();
        member.spawn(async move {
            let serving = AssertUnwindSafe(async move { serve(cx).await });
            let serving = turns.in_turns(None::<&str>, serving.catch_unwind());
            let ended = Outcome::of(serving.await);
            if ended.is_failure() {
                error!(target: LOG, service = &*name; "{name} {ended}");
                status.causes().add(Cause::Failed(name.to_string()));
            }
            *outcome.borrow_mut() = Some(ended);
        });
        slot
    }
}
