//! How far a run has come, and whether new work should be sent to it.
//!
//! A run is ready while it serves and nobody holds a [`NotReady`]. It serves once it has started
//! all services and was ready for the first time.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Instant;

use log::info;
use slab::Slab;

use super::changes::Changes;
use crate::base::clock::Clock;
use crate::report::Unready;
use crate::shutdown::{Phase, Shutdown, Trigger, shutdown};
use crate::words::LOG;

/// Whether a run is ready, for those that must be thread-safe. Clones tell of the same run.
#[derive(Clone)]
pub(crate) struct Ready(Arc<(AtomicBool, Changes)>);

impl Ready {
    /// What [`Status::is_ready`](super::Status::is_ready) says.
    pub(crate) fn get(&self) -> bool {
        self.0.0.load(SeqCst)
    }

    /// Waits for the next change of anything that a [`Status`](super::Status) tells of, counted from
    /// this call on. Cancel-safe.
    pub(crate) fn changed(&self) -> impl Future<Output = ()> + Send + 'static {
        self.0.1.next()
    }

    pub(super) fn tell_of_change(&self) {
        self.0.1.tell();
    }
}

/// Holds readiness back until it is dropped; made by [`Context::not_ready`](crate::Context::not_ready).
#[must_use = "dropping it lets go of readiness at once"]
pub struct NotReady {
    readiness: Rc<Readiness>,
    key: usize,
}

impl Drop for NotReady {
    fn drop(&mut self) {
        self.readiness.held.borrow_mut().remove(self.key);
        if self.readiness.update() {
            info!(target: LOG, "ready");
        }
    }
}

impl std::fmt::Debug for NotReady {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("NotReady").field(&self.readiness.held.borrow().get(self.key)).finish()
    }
}

pub(super) struct Readiness {
    clock: Rc<dyn Clock>,
    phase: Cell<Phase>,
    /// All services have had their first turn, in which they can hold readiness back.
    started: Cell<bool>,
    leave: (Trigger, Shutdown),
    held: RefCell<Slab<Unready>>,
    ready: Ready,
    /// When it last became ready.
    since: Cell<Instant>,
}

impl Readiness {
    pub(super) fn new(clock: Rc<dyn Clock>) -> Rc<Readiness> {
        let now = clock.now();
        Rc::new(Readiness {
            clock,
            phase: Cell::new(Phase::Starting),
            started: Cell::new(false),
            leave: shutdown(),
            held: RefCell::default(),
            ready: Ready(Arc::new((AtomicBool::new(false), Changes::new()))),
            since: Cell::new(now),
        })
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(super) fn leaving(&self) -> &Shutdown {
        &self.leave.1
    }

    pub(super) fn ready(&self) -> &Ready {
        &self.ready
    }

    /// When it last became ready; `None` while it is not.
    pub(super) fn since(&self) -> Option<Instant> {
        self.ready.get().then(|| self.since.get())
    }

    /// Who holds readiness back.
    pub(super) fn held(&self) -> Vec<Unready> {
        self.held.borrow().iter().map(|(_, held)| held.clone()).collect()
    }

    /// Holds readiness back, until what is returned is dropped.
    pub(super) fn hold(self: &Rc<Self>, service: &str, reason: String) -> NotReady {
        let held = Unready { service: service.to_owned(), reason };
        if !self.leaving().has_begun() {
            info!(target: LOG, "not ready: {held}");
        }
        let key = self.held.borrow_mut().insert(held);
        self.update();
        NotReady { readiness: self.clone(), key }
    }

    pub(super) fn start(&self) {
        self.started.set(true);
        self.update();
    }

    pub(super) fn leave(&self) {
        self.leave.0.shut_down();
        self.update();
    }

    pub(super) fn enter(&self, phase: Phase) {
        if self.phase.replace(phase) != phase {
            self.update();
        }
    }

    /// Tells of a change. Returns whether the run has become ready by it.
    fn update(&self) -> bool {
        let is_free = self.started.get() && self.held.borrow().is_empty();
        let ready = is_free && !self.leaving().has_begun();
        if ready && self.phase.get() == Phase::Starting {
            self.phase.set(Phase::Serving);
        }
        let became = ready && !self.ready.0.0.swap(ready, SeqCst);
        if became {
            self.since.set(self.clock.now());
        }
        self.ready.0.0.store(ready, SeqCst);
        self.ready.tell_of_change();
        became
    }
}
