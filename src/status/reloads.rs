//! Reloads: what SIGHUP asks for, if it is not to end the process.
//!
//! Each stream has a place here, with the number of the reload that its service is done with: a service is done
//! when it asks for the next one. So it is known when a reload is over, and systemd can be told.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures_lite::{Stream, stream};
use log::{info, warn};
use slab::Slab;

use super::readiness::Ready;
use crate::shutdown::Shutdown;
use crate::words::LOG;

pub(super) struct Reloads {
    /// How many were asked for.
    asked: Cell<u64>,
    /// For each stream, the last one that its service is done with.
    done: RefCell<Slab<u64>>,
    changes: Ready,
}

impl Reloads {
    pub(super) fn new(changes: Ready) -> Rc<Reloads> {
        Rc::new(Reloads { asked: Cell::new(0), done: RefCell::default(), changes })
    }

    pub(super) fn ask(&self) {
        self.asked.set(self.asked.get() + 1);
        match self.done.borrow().is_empty() {
            true => warn!(target: LOG, "asked to reload, and no service does"),
            false => info!(target: LOG, "reloading"),
        }
        self.changes.tell_of_change();
    }

    #[cfg(feature = "systemd")]
    pub(super) fn asked(&self) -> u64 {
        self.asked.get()
    }

    /// Whether a service has one to do.
    pub(super) fn are_under_way(&self) -> bool {
        self.done.borrow().iter().any(|(_, done)| *done < self.asked.get())
    }

    /// The reloads that are asked for from this call on. The stream ends with `until`.
    pub(super) fn stream(self: &Rc<Self>, until: Shutdown) -> impl Stream<Item = ()> + 'static {
        let taken = self.asked.get();
        let place = Place { key: self.done.borrow_mut().insert(taken), reloads: self.clone() };
        stream::unfold((place, taken, until), |(place, taken, until)| async move {
            place.note_done(taken);
            let taken = until.race(place.next(taken)).await?;
            Some(((), (place, taken, until)))
        })
    }

    /// Says so if the last one that was under way is over.
    fn note(&self, update: impl FnOnce(&mut Slab<u64>)) {
        let before = self.are_under_way();
        update(&mut self.done.borrow_mut());
        if before && !self.are_under_way() {
            info!(target: LOG, "reloaded");
            self.changes.tell_of_change();
        }
    }
}

/// One stream's place.
struct Place {
    reloads: Rc<Reloads>,
    key: usize,
}

impl Place {
    fn note_done(&self, taken: u64) {
        self.reloads.note(|done| done[self.key] = taken);
    }

    /// Waits for a reload after this one. Those that were asked for meanwhile are one.
    async fn next(&self, taken: u64) -> u64 {
        loop {
            let changed = self.reloads.changes.changed();
            match self.reloads.asked.get() {
                asked if asked > taken => return asked,
                _ => changed.await,
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.reloads.note(|done| {
            done.remove(self.key);
        });
    }
}
