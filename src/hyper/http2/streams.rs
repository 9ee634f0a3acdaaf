//! The requests in flight on one HTTP/2 connection: which they are, what each waits for, and since when.
//!
//! A request is in flight from its head until the system has taken the last byte of its answer.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use super::framed::Event;
use super::in_flight::{InFlight, Wait};
use crate::register::{ClientEnd, Waiting};
use crate::server::Connection;
use crate::web::{Limits, count_answer};

/// How much of answers may wait for the client to take them, in bytes, before further requests of its
/// connection have to wait for their handler. Answers of handlers that are at work already come on top.
const MOST_HELD: usize = 1 << 20;

/// The requests in flight on one connection.
pub(super) struct Streams {
    pub(super) connection: Rc<Connection>,
    pub(super) limits: Rc<Limits>,
    open: RefCell<BTreeMap<u32, Rc<InFlight>>>,
    /// Bytes of answers that are there and that the system has not taken.
    held: Cell<usize>,
    /// No request's limit passes before this.
    due: Cell<Option<Instant>>,
    /// When the system last took content of an answer.
    took: Cell<Instant>,
    /// The request that the books name. `None`: they name none, or say that the socket takes nothing.
    pub(super) named: Cell<Option<u32>>,
}

impl Streams {
    pub(super) fn new(connection: Connection, limits: Rc<Limits>) -> Rc<Streams> {
        let now = connection.clock().now();
        Rc::new(Streams {
            connection: Rc::new(connection),
            limits,
            open: RefCell::default(),
            held: Cell::new(0),
            due: Cell::new(None),
            took: Cell::new(now),
            named: Cell::new(None),
        })
    }

    pub(super) fn now(&self) -> Instant {
        self.connection.clock().now()
    }

    /// A request head has arrived.
    pub(super) fn begin(&self, request: InFlight) -> Rc<InFlight> {
        let request = Rc::new(request);
        self.open.borrow_mut().insert(request.id, request.clone());
        request
    }

    pub(super) fn are_none(&self) -> bool {
        self.open.borrow().is_empty()
    }

    pub(super) fn oldest(&self) -> Option<Rc<InFlight>> {
        self.open.borrow().first_key_value().map(|(_, request)| request.clone())
    }

    /// Whether so much waits for the client that no further handler should be called.
    pub(super) fn are_held_up(&self) -> bool {
        self.held.get() > MOST_HELD
    }

    /// Part of an answer is there, and waits for room.
    pub(super) fn hold(&self, request: &InFlight, bytes: usize) {
        if !request.is_over.get() {
            self.held.set(self.held.get() + bytes);
            request.ready.set(request.ready.get() + bytes);
        }
    }

    /// Part of what was ready goes to h2.
    pub(super) fn hand_over(&self, request: &InFlight, bytes: usize) {
        if !request.is_over.get() {
            request.ready.set(request.ready.get() - bytes);
            request.queued.set(request.queued.get() + bytes);
        }
    }

    /// The request waits for this, the how many-th time; `None` is the handler.
    pub(super) fn wait(&self, request: &InFlight, on: Option<(Waiting, u64)>) {
        if request.is_over.get() {
            return;
        }
        let waited = request.wait();
        if waited.map(|wait| (wait.on, wait.number)) == on {
            return;
        }
        let now = self.now();
        request.set_wait(on.map(|(on, number)| Wait { on, number, since: now }), self.share(), now);
        if self.named.get() == Some(request.id) {
            self.connection.wait_for(on.map(|(on, _)| on));
        }
        let before = self.due.get();
        self.bring_forward(request.due(&self.limits, self.took.get()));
        if self.due.get() != before {
            // Whoever keeps the connection's limit may be asleep.
            self.connection.wake();
        }
    }

    /// How many requests share what the client moves: each byte stands for one of each, so that the rates are
    /// those of a connection.
    fn share(&self) -> usize {
        self.open.borrow().len().max(1)
    }

    fn bring_forward(&self, due: Option<Instant>) {
        self.due.set(self.due.get().into_iter().chain(due).min());
    }

    /// When the next limit may pass; it may turn out to be too early, but never too late.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.get()
    }

    /// Something has become of a stream.
    pub(super) fn note(&self, id: u32, event: Event) {
        match event {
            Event::Sent(bytes) => {
                let request = self.open.borrow().get(&id).cloned();
                if let Some(request) = request {
                    self.held.set(self.held.get() - bytes);
                    self.took.set(self.now());
                    request.note_taken(bytes, self.share(), self.took.get());
                }
            }
            Event::Answered => {
                if let Some(request) = self.end(id) {
                    let took = self.now().saturating_duration_since(request.began);
                    let (status, sent) = (request.status.get(), request.sent.get());
                    count_answer(&self.connection, &request.line, status, sent, took);
                }
            }
            Event::Reset => drop(self.end(id)),
            Event::Cancelled => {
                if let Some(request) = self.end(id) {
                    request.note_client_gone();
                }
            }
        }
    }

    fn end(&self, id: u32) -> Option<Rc<InFlight>> {
        let request = self.open.borrow_mut().remove(&id)?;
        let held = request.ready.get() + request.queued.get();
        self.held.set(self.held.get() - held);
        request.is_over.set(true);
        Some(request)
    }

    /// The client has closed its side: what has not come of the bodies will not come.
    pub(super) fn note_client_closed(&self) {
        self.connection.note_client(ClientEnd::Closed);
        self.open.borrow().values().for_each(|request| request.upload.break_off());
    }

    /// The connection is at its end: nothing more will be answered.
    pub(super) fn end_all(&self) {
        if self.are_none() || self.connection.is_cut_off() {
            return;
        }
        self.connection.note_client(ClientEnd::Gone);
        self.connection.set_limit_at(None);
        while let Some(request) = self.oldest() {
            self.end(request.id);
            request.note_client_gone();
        }
    }

    /// Has `say` say something on each stream.
    pub(super) fn for_each(&self, say: impl FnMut(&Rc<InFlight>)) {
        self.open.borrow().values().for_each(say);
    }

    /// Ends what has waited too long.
    pub(super) fn expire(&self) {
        let now = self.now();
        self.due.set(None);
        for request in self.open.borrow().values() {
            match request.due(&self.limits, self.took.get()) {
                Some(due) if due > now => self.bring_forward(Some(due)),
                Some(_) => request.expire(),
                None => {}
            }
        }
    }
}
