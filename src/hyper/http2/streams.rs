//! The requests in flight on one HTTP/2 connection: which they are, what each waits for, and since when.
//!
//! A request is in flight from its head until the system has taken the last byte of its answer.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ::h2::Reason;
use ::h2::server::SendResponse;
use ::hyper::body::Bytes;

use super::framed::Event;
use crate::hyper::body::Upload;
use crate::hyper::request::Line;
use crate::register::Waiting;
use crate::server::Connection;
use crate::web::Limits;

/// How much of answers may wait for the client to take them, in bytes, before further requests of its
/// connection have to wait for their handler. Answers of handlers that are at work already come on top.
const MOST_HELD: usize = 1 << 20;

/// The requests in flight on one connection.
pub(super) struct Streams {
    pub(super) connection: Rc<Connection>,
    limits: Limits,
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

/// A request in flight.
pub(super) struct InFlight {
    pub(super) id: u32,
    pub(super) line: Arc<Line>,
    pub(super) began: Instant,
    pub(super) respond: RefCell<SendResponse<Bytes>>,
    pub(super) upload: Upload,
    pub(super) status: Cell<u16>,
    /// Whether its handler has been called.
    pub(super) is_begun: Cell<bool>,
    is_over: Cell<bool>,
    waits: Cell<Option<Wait>>,
    /// Of its answer: bytes that wait for room.
    ready: Cell<usize>,
    /// Of its answer: bytes that h2 has, and the system has not.
    queued: Cell<usize>,
}

/// What a request waits for the client to do.
#[derive(Clone, Copy)]
struct Wait {
    on: Waiting,
    /// It is another wait, with a limit of its own, if this is another number.
    number: u64,
    since: Instant,
}

impl Streams {
    pub(super) fn new(connection: Connection, limits: Limits) -> Rc<Streams> {
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

    fn now(&self) -> Instant {
        self.connection.clock().now()
    }

    /// A request head has arrived.
    pub(super) fn begin(
        &self,
        line: Arc<Line>,
        respond: SendResponse<Bytes>,
        upload: Upload,
    ) -> Rc<InFlight> {
        let id = respond.stream_id().as_u32();
        let request = Rc::new(InFlight {
            id,
            line,
            began: self.now(),
            respond: RefCell::new(respond),
            upload,
            status: Cell::new(0),
            is_begun: Cell::new(false),
            is_over: Cell::new(false),
            waits: Cell::new(None),
            ready: Cell::new(0),
            queued: Cell::new(0),
        });
        self.open.borrow_mut().insert(id, request.clone());
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
        let waited = request.waits.get();
        if waited.map(|wait| (wait.on, wait.number)) == on {
            return;
        }
        let wait = on.map(|(on, number)| Wait { on, number, since: self.now() });
        request.waits.set(wait);
        if self.named.get() == Some(request.id) {
            self.connection.wait_for(on.map(|(on, _)| on));
        }
        let before = self.due.get();
        self.bring_forward(wait.and_then(|wait| self.limit(request, wait)));
        if self.due.get() != before {
            // Whoever keeps the connection's limit may be asleep.
            self.connection.wake();
        }
    }

    fn bring_forward(&self, due: Option<Instant>) {
        self.due.set(self.due.get().into_iter().chain(due).min());
    }

    /// When the request has waited long enough.
    fn limit(&self, request: &InFlight, wait: Wait) -> Option<Instant> {
        match wait.on {
            Waiting::Body => wait.since.checked_add(self.limits.body_time),
            _ if request.is_begun.get() => wait.since.checked_add(self.limits.answer_time),
            // It waits for the client to take other answers, which the client may be doing.
            _ => wait.since.max(self.took.get()).checked_add(self.limits.answer_time),
        }
    }

    /// When the next limit may pass; it may turn out to be too early, but never too late.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.get()
    }

    /// Something has become of a stream.
    pub(super) fn note(&self, id: u32, event: Event) {
        match event {
            Event::Sent(bytes) => {
                let open = self.open.borrow();
                if let Some(request) = open.get(&id) {
                    self.held.set(self.held.get() - bytes);
                    request.queued.set(request.queued.get() - bytes);
                    self.took.set(self.now());
                    // The client goes on taking: its time begins anew.
                    if let Some(wait) = request.waits.get().filter(|it| it.on == Waiting::Answer) {
                        request.waits.set(Some(Wait { since: self.took.get(), ..wait }));
                    }
                }
            }
            Event::Answered => {
                if let Some(request) = self.end(id) {
                    let took = self.now().saturating_duration_since(request.began);
                    self.connection.count_answer(request.status.get(), took);
                }
            }
            Event::Reset => drop(self.end(id)),
        }
    }

    fn end(&self, id: u32) -> Option<Rc<InFlight>> {
        let request = self.open.borrow_mut().remove(&id)?;
        let held = request.ready.get() + request.queued.get();
        self.held.set(self.held.get() - held);
        request.is_over.set(true);
        Some(request)
    }

    /// The connection is at its end: nothing more will be answered.
    pub(super) fn end_all(&self) {
        while let Some(request) = self.oldest() {
            self.end(request.id);
        }
    }

    /// Ends what has waited too long: a body's reader is told, a stream whose client takes nothing of
    /// its answer is reset.
    pub(super) fn expire(&self) {
        let now = self.now();
        self.due.set(None);
        for request in self.open.borrow().values() {
            let Some(wait) = request.waits.get() else { continue };
            match self.limit(request, wait) {
                Some(due) if due > now => self.bring_forward(Some(due)),
                Some(_) if wait.on == Waiting::Body => request.upload.time_out(),
                // Nobody has begun to answer it: the client may ask again (RFC 9113, 8.7).
                Some(_) if !request.is_begun.get() => request.reset(Reason::REFUSED_STREAM),
                Some(_) => request.reset(Reason::CANCEL),
                None => {}
            }
        }
    }
}

impl InFlight {
    /// What it waits for; `None` is the handler.
    pub(super) fn waits_for(&self) -> Option<Waiting> {
        self.waits.get().map(|wait| wait.on)
    }

    /// Has the stream reset. The request is over once that is written.
    pub(super) fn reset(&self, reason: Reason) {
        self.respond.borrow_mut().send_reset(reason);
    }
}
