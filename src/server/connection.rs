//! A connection as its protocol sees it: a hold on its entry in the service's register.
//!
//! The protocol tells the register what the connection is doing, and hears from it when the drain has
//! begun or when a time limit has passed.

use std::fmt::Display;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::refusal::{TOO_MANY, refuse};
use crate::base::clock::Clock;
use crate::net::Peer;
use crate::register::{ClientEnd, Entry, State, Waiting};
use crate::service::Context as ServiceContext;
use crate::shutdown::{Phase, Shutdown};

/// A protocol's hold on one accepted connection; dropping it takes the connection off the books.
///
/// Made by the accept loop and handed to [`Protocol::serve`](crate::Protocol::serve).
pub struct Connection {
    cx: Rc<ServiceContext>,
    entry: Rc<Entry>,
}

impl Connection {
    pub(super) fn new(cx: Rc<ServiceContext>, entry: Rc<Entry>) -> Connection {
        Connection { cx, entry }
    }

    /// Who is at the other end: the peer that was accepted, or the client that the protocol has
    /// [learnt of](Connection::set_peer).
    pub fn peer(&self) -> &Peer {
        self.entry.peer()
    }

    /// Notes whose connection it is, where a balancer has passed it on. From now on logs and report
    /// name this client, and [`max_connections_per_peer`](crate::Server::max_connections_per_peer) counts it. The
    /// first client that is noted stays. For a protocol that [learns it](crate::Protocol::learns_peer).
    ///
    /// # Errors
    ///
    /// If the client has as many connections as it may have. Then this one is counted as
    /// [refused](crate::Counts::refused), and is to be closed.
    pub fn set_peer(&self, client: Peer) -> io::Result<()> {
        match self.entry.set_peer(client) {
            true => Ok(()),
            false => Err(self.refuse(TOO_MANY)),
        }
    }

    /// Counts the connection as [refused](crate::Counts::refused). A warning says why, after the name of the
    /// [peer](Connection::peer), but at most once a second. Returns the error with which the protocol
    /// ends the connection.
    pub fn refuse(&self, why: &str) -> io::Error {
        refuse(&self.cx, format_args!("{} {why}", self.peer()));
        io::Error::other(format!("refused: it {why}"))
    }

    /// Where the server listens that has accepted it, as [`Listener::address`](crate::Listener::address) tells.
    pub fn server_address(&self) -> &str {
        self.cx.address()
    }

    /// What the connection was last said to be doing. [`State::New`] at first.
    pub fn state(&self) -> State {
        self.entry.state()
    }

    /// When its state last changed.
    pub fn since(&self) -> Instant {
        self.entry.since()
    }

    /// Says what the connection is doing now, and how long it may do it; `None` is for ever.
    pub fn set_state(&self, state: State, limit: Option<Duration>) {
        let now = self.clock().now();
        self.cx.register().turn_works_since(now);
        self.entry.set_state(state, limit, self.phase(), now);
    }

    /// Gives the connection `limit` from now; [`poll_expired`](Connection::poll_expired) tells when it is over.
    pub fn set_limit(&self, limit: Duration) {
        self.entry.set_limit(Some(limit), self.phase(), self.clock().now());
    }

    /// Gives the connection until `at`, or for ever. The limit may be shorter than the protocol's shortest.
    pub(crate) fn set_limit_at(&self, at: Option<Instant>) {
        self.entry.set_limit_at(at, self.phase());
        self.cx.register().limit_at(at);
    }

    fn phase(&self) -> Phase {
        self.cx.register().phase()
    }

    /// Whether the drain has begun.
    pub fn draining(&self) -> bool {
        self.phase() >= Phase::Draining
    }

    /// Whether the client should go elsewhere after this answer: in the lame duck and in the drain, and when
    /// the connection has reached its [age](crate::Server::max_age). Answers say `Connection: close`; but
    /// idle connections end only when they [should close](Connection::should_close).
    pub fn leaving(&self) -> bool {
        self.phase() >= Phase::LameDuck || self.entry.is_asked_to_leave()
    }

    /// Whether the connection should close as soon as it has nothing in flight: in the drain, or when its turn
    /// has come in a lame duck that is [spread](crate::Supervisor::spread).
    pub fn should_close(&self) -> bool {
        self.draining() || self.entry.is_asked_to_close()
    }

    /// Whether the client should be told to go at once, and not with an answer: in the drain, or when the
    /// connection was asked to go or to close by itself.
    pub(crate) fn is_asked_to_end(&self) -> bool {
        self.draining() || self.entry.is_asked_to_leave()
    }

    /// Waits until its client should go elsewhere: at the latest until shutdown begins. Unlike the
    /// [shutdown](Connection::shutdown) it comes to each connection at its own time, if the server has a
    /// [greatest age](crate::Server::max_age) or the lame duck is [spread](crate::Supervisor::spread).
    /// For the one task that serves the connection. Cancel-safe.
    pub async fn asked_to_leave(&self) {
        let asked = poll_fn(|cx| {
            if self.is_asked_to_end() {
                return Poll::Ready(());
            }
            self.wake_on_change(cx);
            Poll::Pending
        });
        self.shutdown().race(asked).await;
    }

    /// Whether nothing has come from the client yet that anybody has counted.
    pub(super) fn is_silent_so_far(&self) -> bool {
        self.entry.received() == 0
    }

    /// Notes what is known of the client's end.
    pub fn note_client(&self, client: ClientEnd) {
        self.entry.note_client(client);
    }

    /// What is known of the client's end.
    pub fn client(&self) -> ClientEnd {
        self.entry.client()
    }

    /// Whether its time is over: the connection is dropped after this turn of the loop. What can be said
    /// to the client without waiting is to be said now, and it counts as cut off all the same.
    pub fn is_cut_off(&self) -> bool {
        self.entry.is_cut_off()
    }

    /// The shutdown, to be raced against.
    pub fn shutdown(&self) -> &Shutdown {
        self.cx.shutdown()
    }

    /// Whether the time limit last set has passed.
    pub fn expired(&self) -> bool {
        self.entry.limit_has_passed()
    }

    /// Arranges for the task of `cx` to be woken when the drain begins, the limit passes, or the connection is
    /// asked to [leave](Connection::leaving) or to [close](Connection::should_close) by itself, or is
    /// [cut off](Connection::is_cut_off).
    ///
    /// One task at a time: the last one that asked is the one that is woken.
    pub fn wake_on_change(&self, cx: &Context<'_>) {
        self.entry.wake_on_change(cx);
    }

    /// Wakes the task that asked last.
    #[cfg(feature = "hyper")]
    pub(crate) fn wake(&self) {
        self.entry.wake();
    }

    /// Says that the connection does what it does since then.
    #[cfg(feature = "hyper")]
    pub(crate) fn set_since(&self, since: Instant) {
        self.entry.set_since(since);
    }

    /// Ready once the time limit has passed.
    pub fn poll_expired(&self, cx: &Context<'_>) -> Poll<()> {
        if self.expired() {
            return Poll::Ready(());
        }
        self.wake_on_change(cx);
        Poll::Pending
    }

    /// Notes the request in flight, such as `GET /slow`, as the report should name it if it becomes a
    /// straggler. It is shown with characters escaped that could confuse a terminal.
    ///
    /// It also names who blocks the thread, in this turn of the loop and in each later one of this connection
    /// while the request is in flight. So it is formatted in each of these turns, and should be quick at it.
    pub fn set_request(&self, request: Arc<dyn Display>) {
        self.turns_to(&*request);
        self.entry.set_request(request);
    }

    /// Says that the rest of this turn of the loop is spent on a request.
    pub(crate) fn turns_to(&self, request: &dyn Display) {
        self.cx.register().turns_to(request);
    }

    /// Notes a request that this turn of the loop is not spent on.
    #[cfg(feature = "hyper")]
    pub(crate) fn note_request(&self, request: Arc<dyn Display>) {
        self.entry.set_request(request);
    }

    /// Notes what is waited for while a request is [active](State::Active), as the report should tell
    /// it; `None`, as at first, is the handler. Returns what was noted before.
    pub fn wait_for(&self, waiting: Option<Waiting>) -> Option<Waiting> {
        self.entry.wait_for(waiting)
    }

    /// What was last said to be waited for.
    pub fn waits_for(&self) -> Option<Waiting> {
        self.entry.waits_for()
    }

    /// Counts bytes that were read from the connection.
    pub fn count_received(&self, bytes: usize) {
        self.entry.count_received(bytes as u64);
        self.cx.register().count(|counts| counts.received += bytes as u64);
    }

    /// Counts bytes that were written to the connection.
    pub fn count_sent(&self, bytes: usize) {
        self.entry.count_sent(bytes as u64);
        self.cx.register().count(|counts| counts.sent += bytes as u64);
    }

    /// Counts one request answered in full, with its status and how long it took.
    pub fn count_answer(&self, status: u16, took: Duration) {
        self.cx.register().count(|counts| counts.answer(status, took));
    }

    /// Counts one request answered in full, of which no more is known.
    pub fn count_request(&self) {
        self.cx.register().count(|counts| counts.requests += 1);
    }

    /// Counts one handler that was dropped because its client had gone.
    pub fn count_dropped(&self) {
        self.cx.register().count(|counts| counts.dropped += 1);
    }

    /// Counts one panic that was contained.
    pub fn count_panic(&self) {
        self.cx.register().count(|counts| counts.panicked += 1);
    }

    /// What the service was handed: its name, its shutdown, a place for its tasks.
    pub fn context(&self) -> &Rc<ServiceContext> {
        &self.cx
    }

    /// How long ago it was accepted.
    pub fn age(&self) -> Duration {
        self.clock().now().saturating_duration_since(self.entry.accepted())
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        self.cx.clock()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.cx.register().leave(&self.entry);
    }
}
