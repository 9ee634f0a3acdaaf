//! One request in flight over HTTP/2.

use std::cell::{Cell, RefCell, RefMut};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use ::h2::server::SendResponse;
use ::h2::{Reason, SendStream};
use ::hyper::Response;
use ::hyper::body::Bytes;

use crate::hyper::body::Upload;
use crate::hyper::request::Line;
use crate::register::Waiting;
use crate::web::{Exchange, Limits, Pace};

/// A request in flight.
pub(super) struct InFlight {
    pub(super) id: u32,
    pub(super) line: Arc<Line>,
    pub(super) is_grpc: bool,
    exchange: Exchange,
    pub(super) began: Instant,
    pub(super) upload: Upload,
    /// Of its answer: what h2 was given, or 0.
    pub(super) status: Cell<u16>,
    /// Whether its handler has been called.
    pub(super) is_begun: Cell<bool>,
    pub(super) is_over: Cell<bool>,
    /// Whether its client is gone, or has reset it.
    is_gone: Cell<bool>,
    waits: Cell<Option<Wait>>,
    /// Of its answer: bytes that wait for room.
    pub(super) ready: Cell<usize>,
    /// Of its answer: bytes that h2 has, and the system has not.
    pub(super) queued: Cell<usize>,
    /// Of its answer: bytes of content that the system has taken.
    pub(super) sent: Cell<u64>,
    answer_pace: Cell<Pace>,
    body_pace: Cell<Pace>,
    /// How much of its body may still come, as far as its pace knows.
    body_left: Cell<u64>,
    respond: RefCell<SendResponse<Bytes>>,
    /// Where the content of its answer goes, once h2 has the head.
    content: RefCell<Option<SendStream<Bytes>>>,
}

/// What a request waits for the client to do.
#[derive(Clone, Copy)]
pub(super) struct Wait {
    pub(super) on: Waiting,
    /// It is another wait, with a limit of its own, if this is another number.
    pub(super) number: u64,
    pub(super) since: Instant,
}

impl InFlight {
    pub(super) fn new(
        line: Arc<Line>,
        is_grpc: bool,
        exchange: Exchange,
        upload: Upload,
        respond: SendResponse<Bytes>,
        began: Instant,
        limits: &Limits,
    ) -> InFlight {
        InFlight {
            id: respond.stream_id().as_u32(),
            line,
            is_grpc,
            exchange,
            began,
            body_left: Cell::new(upload.left()),
            upload,
            status: Cell::new(0),
            is_begun: Cell::new(false),
            is_over: Cell::new(false),
            is_gone: Cell::new(false),
            waits: Cell::new(None),
            ready: Cell::new(0),
            queued: Cell::new(0),
            sent: Cell::new(0),
            answer_pace: Cell::new(Pace::new(limits.answer_rate)),
            body_pace: Cell::new(Pace::new(limits.body_rate)),
            respond: RefCell::new(respond),
            content: RefCell::new(None),
        }
    }

    /// What it waits for; `None` is the handler.
    pub(super) fn waits_for(&self) -> Option<Waiting> {
        self.waits.get().map(|wait| wait.on)
    }

    pub(super) fn wait(&self) -> Option<Wait> {
        self.waits.get()
    }

    /// It waits for something else from now on. `share`: with how many requests it shares the client.
    pub(super) fn set_wait(&self, wait: Option<Wait>, share: usize, now: Instant) {
        match self.waits_for() {
            Some(Waiting::Body) => {
                let left = self.upload.left();
                let came = self.body_left.replace(left).saturating_sub(left);
                let came = usize::try_from(came).unwrap_or(usize::MAX);
                go_on(&self.body_pace, came.saturating_mul(share), now);
            }
            Some(_) => go_on(&self.answer_pace, 0, now),
            None => {}
        }
        self.waits.set(wait);
    }

    /// The system has taken so much of its answer: the client's time begins anew.
    pub(super) fn note_taken(&self, bytes: usize, share: usize, now: Instant) {
        self.queued.set(self.queued.get() - bytes);
        self.sent.set(self.sent.get() + bytes as u64);
        go_on(&self.answer_pace, bytes.saturating_mul(share), now);
        if let Some(wait) = self.waits.get().filter(|wait| wait.on == Waiting::Answer) {
            self.waits.set(Some(Wait { since: now, ..wait }));
            begin(&self.answer_pace, now);
        }
    }

    /// When it has waited long enough. `took`: when the client last took something of any answer.
    pub(super) fn due(&self, limits: &Limits, took: Instant) -> Option<Instant> {
        let Wait { on, since, .. } = self.waits.get()?;
        let (by_time, by_pace) = match on {
            Waiting::Body => (since.checked_add(limits.body_time), begin(&self.body_pace, since)),
            _ if self.is_begun.get() => {
                (since.checked_add(limits.answer_time), begin(&self.answer_pace, since))
            }
            // It waits for the client to take other answers, which the client may be doing.
            _ => (since.max(took).checked_add(limits.answer_time), None),
        };
        by_time.into_iter().chain(by_pace).min()
    }

    /// Ends a wait that was too long: a body's reader is told, a stream whose client takes nothing of its
    /// answer is reset.
    pub(super) fn expire(&self) {
        match self.waits_for() {
            Some(Waiting::Body) => self.upload.time_out(),
            // Nobody has begun to answer it: the client may ask again (RFC 9113, 8.7).
            _ if !self.is_begun.get() => self.reset(Reason::REFUSED_STREAM),
            _ => self.reset(Reason::CANCEL),
        }
    }

    /// Sends the head of the answer; without content it is all of it.
    pub(super) fn send_head(
        &self,
        head: Response<()>,
        has_content: bool,
    ) -> Result<(), ::h2::Error> {
        self.status.set(head.status().as_u16());
        let content = self.respond.borrow_mut().send_response(head, !has_content)?;
        *self.content.borrow_mut() = has_content.then_some(content);
        Ok(())
    }

    /// Where the content goes, of an answer whose head was sent.
    pub(super) fn content(&self) -> RefMut<'_, SendStream<Bytes>> {
        let content = self.content.borrow_mut();
        RefMut::map(content, |content| content.as_mut().expect("content comes after its head"))
    }

    /// Ends an answer whose content so far was taken, if its end was not sent.
    #[cfg(feature = "grpc")]
    pub(super) fn end_with_trailers(&self, trailers: ::hyper::HeaderMap) {
        if let Some(content) = &mut *self.content.borrow_mut()
            && self.ready.get() + self.queued.get() == 0
        {
            // If it fails, the end is on its way.
            let _ = content.send_trailers(trailers);
        }
    }

    /// Ready once the stream is reset, by either side, or its connection has ended.
    pub(super) fn poll_reset(&self, cx: &mut Context<'_>) -> Poll<()> {
        let reset = match &mut *self.content.borrow_mut() {
            Some(content) => content.poll_reset(cx),
            None => self.respond.borrow_mut().poll_reset(cx),
        };
        reset.map(|_| ())
    }

    /// Has the stream reset. The request is over once that is written.
    pub(super) fn reset(&self, reason: Reason) {
        self.respond.borrow_mut().send_reset(reason);
    }

    /// Its client is gone, or has reset it.
    pub(super) fn note_client_gone(&self) {
        self.is_gone.set(true);
        self.exchange.note_client_gone();
    }

    pub(super) fn is_gone(&self) -> bool {
        self.is_gone.get()
    }
}

fn go_on(pace: &Cell<Pace>, bytes: usize, now: Instant) {
    let mut it = pace.get();
    it.go_on(bytes, now);
    pace.set(it);
}

/// The client is waited for since then; tells until when it may be, by its pace.
fn begin(pace: &Cell<Pace>, since: Instant) -> Option<Instant> {
    let mut it = pace.get();
    let until = it.wait(since);
    pace.set(it);
    until
}
