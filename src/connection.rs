//! A connection as its protocol sees it: a hold on its entry in the service's register.
//!
//! The protocol tells the register what the connection is doing, and hears from it when shutdown
//! has begun or when its time is up. One sweep serves the time limits of all connections, so none
//! of them owns a timer.

use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::net::Peer;
use crate::printable::Printable;
use crate::register::{Entry, HEAD_GRACE, limit_due};
use crate::service::Context as ServiceContext;
use crate::shutdown::Shutdown;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has not sent a byte yet.
    New,
    /// Part of a request head has arrived.
    Head,
    /// A request is being answered.
    Active,
    /// It is between requests.
    Idle,
    /// It was handed to the handler.
    Upgraded,
    /// Its last answer is written; it waits for the peer to have read it.
    Closing,
}

impl State {
    /// All of them.
    pub const ALL: [State; 6] = {
        use State::{Active, Closing, Head, Idle, New, Upgraded};
        [New, Head, Active, Idle, Upgraded, Closing]
    };

    /// Whether work would be lost if the connection were closed now.
    pub fn is_in_flight(self) -> bool {
        matches!(self, State::Head | State::Active | State::Upgraded)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::New => "new",
            State::Head => "head",
            State::Active => "active",
            State::Idle => "idle",
            State::Upgraded => "upgraded",
            State::Closing => "closing",
        })
    }
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The client, to send a request, or the rest of a request's head.
    Head,
    /// The client, to send more of a request's body.
    Body,
    /// The handler, or whoever has taken the connection over.
    Handler,
    /// The client, to take more of an answer.
    Answer,
    /// The client, to close.
    Close,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Waiting::Head => "a request head",
            Waiting::Body => "a request body",
            Waiting::Handler => "the handler",
            Waiting::Answer => "the client to take the answer",
            Waiting::Close => "the client to close",
        })
    }
}

/// A protocol's hold on one accepted connection; dropping it takes the connection off the books.
///
/// Made by the accept loop and handed to [`Protocol::serve`](crate::Protocol::serve).
pub struct Connection {
    cx: Rc<ServiceContext>,
    entry: Rc<Entry>,
    key: usize,
}

impl Connection {
    pub(crate) fn new(cx: Rc<ServiceContext>, entry: Rc<Entry>, key: usize) -> Connection {
        Connection { cx, entry, key }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.entry.peer
    }

    /// What the connection was last said to be doing. [`State::New`] at first.
    pub fn state(&self) -> State {
        self.entry.state.get()
    }

    /// Says what the connection is doing now, and how long it may do it; `None` is for ever.
    pub fn set_state(&self, state: State, limit: Option<Duration>) {
        let entry = &self.entry;
        let now = self.clock().now();
        entry.state.set(state);
        entry.since.set(now);
        entry.expired.set(false);
        entry.due.set(limit.and_then(|limit| now.checked_add(limit)));
        if state.is_in_flight() {
            if self.draining() {
                entry.drained.set(true);
                self.hurry_head();
            }
        } else {
            // It costs memory, of which an idle connection has as little as can be.
            *entry.request.borrow_mut() = String::new();
        }
    }

    /// Gives the connection `limit` from now; [`poll_expired`](Connection::poll_expired) tells when it is over.
    pub fn set_limit(&self, limit: Duration) {
        self.entry.expired.set(false);
        self.entry.due.set(self.clock().now().checked_add(limit));
        if self.draining() {
            self.hurry_head();
        }
    }

    /// Gives the connection until `at`, or for ever.
    #[cfg(feature = "hyper")]
    pub(crate) fn limit_at(&self, at: Option<Instant>) {
        self.entry.expired.set(false);
        self.entry.due.set(at);
        if self.draining() {
            self.hurry_head();
        }
        let sweep = self.clock().now().checked_add(self.cx.register.shortest_limit());
        if at.zip(sweep).is_some_and(|(at, sweep)| at < sweep) {
            self.cx.register.tell_of_shorter_limit();
        }
    }

    /// Wakes the task that last asked to be [woken](Connection::wake_on_news).
    #[cfg(feature = "hyper")]
    pub(crate) fn wake(&self) {
        self.entry.wake();
    }

    /// Says that the connection does what it does since then.
    #[cfg(feature = "hyper")]
    pub(crate) fn set_since(&self, since: Instant) {
        self.entry.since.set(since);
    }

    /// While the drain is on, a half-sent request head gets two seconds at most.
    fn hurry_head(&self) {
        if self.state() == State::Head {
            limit_due(&self.entry.due, self.entry.since.get() + HEAD_GRACE);
        }
    }

    /// Whether shutdown has begun: answers say `Connection: close`, idle connections end.
    pub fn draining(&self) -> bool {
        self.cx.register.draining.get()
    }

    /// Whether the client should go elsewhere after this answer: from the lame duck period on
    /// answers say `Connection: close`, but idle connections end only when
    /// [draining](Connection::draining).
    pub fn leaving(&self) -> bool {
        self.cx.register.leaving.get()
    }

    /// The shutdown, to be raced against.
    pub fn shutdown(&self) -> &Shutdown {
        self.cx.shutdown()
    }

    /// Whether the time limit last set has passed.
    pub fn expired(&self) -> bool {
        self.entry.expired.get()
    }

    /// Arranges for the task of `cx` to be woken when the drain begins or the limit passes.
    ///
    /// One task at a time: the last one that asked is the one that is woken.
    pub fn wake_on_news(&self, cx: &Context<'_>) {
        let waker = match self.entry.waker.take() {
            Some(waker) if waker.will_wake(cx.waker()) => waker,
            _ => cx.waker().clone(),
        };
        self.entry.waker.set(Some(waker));
    }

    /// Ready once the time limit has passed.
    pub fn poll_expired(&self, cx: &Context<'_>) -> Poll<()> {
        if self.expired() {
            return Poll::Ready(());
        }
        self.wake_on_news(cx);
        Poll::Pending
    }

    /// Notes the request in flight, as the report should name it if it becomes a straggler. What in it
    /// would not simply print, such as a control character, is escaped.
    pub fn set_request(&self, line: fmt::Arguments<'_>) {
        let mut request = self.entry.request.borrow_mut();
        request.clear();
        // Writing to a String cannot fail.
        let _ = fmt::Write::write_fmt(&mut Printable(&mut request), line);
    }

    /// Notes what is waited for while a request is [active](State::Active), as the report should tell
    /// it; `None`, as at first, is the handler. Returns what was noted before.
    pub fn wait_for(&self, waiting: Option<Waiting>) -> Option<Waiting> {
        self.entry.waiting.replace(waiting)
    }

    /// What was last said to be waited for.
    pub fn waits_for(&self) -> Option<Waiting> {
        self.entry.waiting.get()
    }

    /// Counts bytes that were read from the connection.
    pub fn count_received(&self, bytes: usize) {
        self.entry.received.set(self.entry.received.get() + bytes as u64);
        self.cx.register.count(|counts| counts.received += bytes as u64);
    }

    /// Counts bytes that were written to the connection.
    pub fn count_sent(&self, bytes: usize) {
        self.entry.sent.set(self.entry.sent.get() + bytes as u64);
        self.cx.register.count(|counts| counts.sent += bytes as u64);
    }

    /// When its state last changed.
    pub fn since(&self) -> Instant {
        self.entry.since.get()
    }

    /// Counts one request answered in full, with its status and how long it took.
    pub fn count_answer(&self, status: u16, took: Duration) {
        self.cx.register.count(|counts| counts.answer(status, took));
    }

    /// Counts one request answered in full, of which no more is known.
    pub fn count_request(&self) {
        self.cx.register.count(|counts| counts.requests += 1);
    }

    /// Counts one panic that was contained.
    pub fn count_panic(&self) {
        self.cx.register.count(|counts| counts.panicked += 1);
    }

    /// What the service was handed: its name, its shutdown, a place for its tasks.
    pub fn context(&self) -> &Rc<ServiceContext> {
        &self.cx
    }

    pub(crate) fn entry(&self) -> Rc<Entry> {
        self.entry.clone()
    }

    pub(crate) fn clock(&self) -> &Rc<dyn Clock> {
        &self.cx.clock
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let register = &self.cx.register;
        if register.open.borrow_mut().try_remove(self.key).is_none() {
            return; // cut off, and counted as such
        }
        register.note_end(&self.entry, false);
        if register.draining.get() {
            register.count(|counts| match self.entry.drained.get() {
                true => counts.drained += 1,
                false => counts.closed_idle += 1,
            });
        }
        if let Some(waker) = register.room.take() {
            waker.wake();
        }
    }
}
