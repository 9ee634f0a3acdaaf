//! A busy connection's bytes: what was read and not used yet, what is to be written, and within which time.
//!
//! A resting connection has no buffers: reads go through one scratch buffer that all connections of the
//! server share, and only what has really arrived is kept.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_lite::AsyncRead;

use super::client::Client;
use super::guard::{self, Head, Refusal};
use super::outbox::Outbox;
use super::resting::{Past, Resting};
use super::shared::Http;
use super::taking::Taking;
use crate::net::{ResetWatch, Stream};
use crate::register::{ClientEnd, State, Waiting};
use crate::server::Connection;
use crate::web::Pace;

/// How much is read, while draining, to see whether one more request has arrived: about what the
/// system holds for a socket by default (tcp_rmem in tcp(7)).
const LAST_LOOK: usize = 128 * 1024;

/// How many requests a connection may add to its pipeline while draining.
const MAX_LOOKS: u8 = 64;

/// Empty lines that may stand in front of a request.
const MAX_EMPTY_LINES: u8 = 8;

/// What a read within a time limit came to.
pub(super) enum Filled {
    Bytes,
    /// The client has closed its side.
    End,
    /// The time limit has passed.
    TooLate,
}

/// A connection that is busy.
pub(super) struct Wire<S: Stream> {
    stream: S,
    connection: Connection,
    http: Rc<Http>,
    inbox: Vec<u8>,
    outbox: Outbox,
    taking: Taking,
    client: Client,
    /// Whether a request is in flight, and nothing of its answer is on its way.
    owes_answer: bool,
    past: Past,
}

impl Filled {
    fn of(bytes: usize) -> Filled {
        if bytes == 0 { Filled::End } else { Filled::Bytes }
    }
}

impl<S: Stream> Wire<S> {
    /// Begins where a resting connection has received its first bytes.
    pub(super) fn new(resting: Resting<S>, inbox: Vec<u8>) -> Wire<S> {
        let Resting { stream, connection, http, past } = resting;
        let taking = Taking::new(&http.limits);
        Wire {
            stream,
            connection,
            http,
            inbox,
            outbox: Outbox::default(),
            taking,
            client: Client::default(),
            owes_answer: false,
            past,
        }
    }

    /// Says that the connection is between requests, and lets its buffers go.
    pub(super) fn rest(self) -> Resting<S> {
        let Wire { stream, connection, http, past, .. } = self;
        connection.set_state(State::Idle, Some(http.limits.idle));
        Resting { stream, connection, http, past }
    }

    /// The stream, and what was read of it and not used.
    pub(super) fn into_parts(self) -> (S, Connection, Vec<u8>) {
        (self.stream, self.connection, self.inbox)
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn http(&self) -> &Rc<Http> {
        &self.http
    }

    // ------------------------------------------------------------ bytes in

    /// Whether bytes were read that nobody has taken.
    pub(super) fn has_input(&self) -> bool {
        !self.inbox.is_empty()
    }

    pub(super) fn input(&self) -> &[u8] {
        &self.inbox
    }

    /// Watches for a reset after the client's end.
    pub(super) fn watch_for_reset(&self) -> Option<ResetWatch> {
        self.stream.watch_for_reset()
    }

    /// Drops the first `amount` bytes of the input, which were used.
    pub(super) fn consume(&mut self, amount: usize) {
        self.inbox.drain(..amount);
    }

    pub(super) fn discard_input(&mut self) {
        self.inbox.clear();
    }

    /// Reads the head of a request, if all of it has arrived, and leaves it in the input.
    pub(super) fn parse_head(&self) -> Result<Option<Head>, Refusal> {
        guard::parse(&self.inbox, &self.http.limits)
    }

    /// Skips empty lines in front of a request (RFC 9112, 2.2). False: there are too many.
    pub(super) fn skip_empty_lines(&mut self) -> bool {
        let lines = self.inbox.chunks_exact(2).take_while(|line| *line == b"\r\n").count();
        if lines > 0 {
            self.inbox.drain(..2 * lines);
            let lines = u8::try_from(lines).unwrap_or(u8::MAX);
            self.past.empty_lines = self.past.empty_lines.saturating_add(lines);
        }
        self.past.empty_lines <= MAX_EMPTY_LINES
    }

    /// Reads once, and appends to the input. 0 is the end of the stream.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Wire { stream, connection, http, inbox, .. } = self;
        let read = ready!(http.poll_receive(stream, connection, inbox, cx));
        match read {
            Ok(0) => self.note_client(ClientEnd::Closed),
            Ok(_) => {}
            Err(_) => self.note_client(ClientEnd::Gone),
        }
        Poll::Ready(read)
    }

    /// Reads more of a head, within its time limit.
    pub(super) fn poll_fill_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Filled>> {
        match self.poll_fill(cx) {
            Poll::Ready(read) => Poll::Ready(read.map(Filled::of)),
            Poll::Pending => self.connection.poll_expired(cx).map(|()| Ok(Filled::TooLate)),
        }
    }

    /// Reads more of a body, within its time limit and at its pace.
    pub(super) fn poll_fill_body(
        &mut self,
        pace: &mut Pace,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Filled>> {
        let Poll::Ready(read) = self.poll_fill(cx) else {
            let limit = |wire: &mut Self, now: Instant| {
                let time = now.checked_add(wire.http.limits.body_time);
                time.into_iter().chain(pace.wait(now)).min()
            };
            ready!(self.poll_limit(Waiting::Body, cx, limit));
            return Poll::Ready(Ok(Filled::TooLate));
        };
        self.connection.wait_for(None);
        pace.go_on(0, self.connection.clock().now());
        Poll::Ready(read.map(Filled::of))
    }

    /// Reads once if something is there, and nobody waits for it: the end may be.
    pub(super) fn poll_read_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match ready!(self.stream.poll_readable(cx)) {
            Ok(()) => self.poll_fill(cx).map(drop),
            Err(_) => {
                self.note_client(ClientEnd::Gone);
                Poll::Ready(())
            }
        }
    }

    /// Reads what has arrived already: asked while draining, before an answer says `close`. A client
    /// that always has one more request in the pipeline is not served to the deadline.
    pub(super) async fn last_look(&mut self) {
        if self.past.looks == MAX_LOOKS {
            return;
        }
        self.past.looks += 1;
        poll_fn(|cx| {
            while self.inbox.len() <= LAST_LOOK {
                if !matches!(self.poll_fill(cx), Poll::Ready(Ok(1..))) {
                    break;
                }
            }
            Poll::Ready(())
        })
        .await
    }

    // ------------------------------------------------------------ time and state

    /// To be asked after a read or write came back pending: starts the time limit of what is
    /// waited for, and is ready once it has passed.
    fn poll_limit(
        &mut self,
        waiting: Waiting,
        cx: &mut Context<'_>,
        limit: impl FnOnce(&mut Self, Instant) -> Option<Instant>,
    ) -> Poll<()> {
        if self.connection.wait_for(Some(waiting)) != Some(waiting) {
            let at = limit(self, self.connection.clock().now());
            self.connection.set_limit_at(at);
        }
        self.connection.poll_expired(cx)
    }

    /// Whether the client has taken none of an answer for too long, or too little. The system has room for more only
    /// when a third of its buffer is empty: what the client took before that gives it time too.
    fn is_stalled(&mut self) -> bool {
        if self.connection.waits_for() != Some(Waiting::Answer) || !self.connection.expired() {
            return false;
        }
        let now = self.connection.clock().now();
        if !self.taking.look(self.stream.unreceived(), now) {
            return true;
        }
        let until = self.taking.wait(&self.http.limits, now);
        self.connection.set_limit_at(until);
        until.is_some_and(|until| until <= now)
    }

    /// Part of a request head is here: from now on it has a time limit.
    pub(super) fn begin_head(&mut self) {
        self.connection.wait_for(Some(Waiting::Head));
        self.connection.set_state(State::Head, Some(self.http.limits.head_time));
    }

    /// The whole head is here: the time limit is over, and handlers have none.
    pub(super) fn begin_request(&mut self, head: &Arc<Head>) {
        self.consume(head.len);
        self.connection.wait_for(None);
        self.past.requests = self.past.requests.saturating_add(1);
        self.past.empty_lines = 0;
        self.connection.set_state(State::Active, None);
        self.connection.set_request(head.clone());
        self.taking.begin(&self.http.limits);
        self.client = Client::new(head.http_1_0);
        self.owes_answer = true;
    }

    /// The client of the request in flight.
    pub(super) fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Notes what is known of the client's end, and has the handler hear of it.
    pub(super) fn note_client(&self, end: ClientEnd) {
        self.connection.note_client(end);
        if end == ClientEnd::Gone {
            self.client.note_gone();
        }
    }

    /// Whether the connection has not had all the requests yet that one may have.
    pub(super) fn may_go_on(&self) -> bool {
        u64::from(self.past.requests) < self.http.limits.requests
    }

    // ------------------------------------------------------------ bytes out

    pub(super) fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Moves one read of an answer to the outbox.
    pub(super) fn poll_queue(
        &mut self,
        answer: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.http.poll_read(answer, self.outbox.bytes_mut(), cx)
    }

    /// Says whether the client must see a reset if what is being sent is cut.
    pub(super) fn reset_if_cut(&mut self, must: bool) {
        self.stream.reset_on_close(must);
    }

    /// Whether a request is in flight, and nothing of its answer is on its way.
    pub(super) fn owes_answer(&self) -> bool {
        self.owes_answer
    }

    /// Says that the answer to the request in flight begins.
    pub(super) fn begin_answer(&mut self) {
        self.owes_answer = false;
    }

    /// Says that an answer is complete; it counts once all of it is written.
    pub(super) fn complete_answer(&mut self, status: u16) {
        self.outbox.complete(status, &self.connection);
    }

    /// Writes all of the outbox. An error if the client takes nothing for too long.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        let mut written = 0;
        while written < self.outbox.bytes().len() {
            written += poll_fn(|cx| self.poll_write(written, cx)).await?;
            self.outbox.note_written(written, &self.connection);
        }
        if written > 0 {
            // A stream that has a buffer of its own would keep the end of the answer there.
            poll_fn(|cx| self.poll_in_time(cx, |stream, cx| stream.poll_flush(cx))).await?;
        }
        self.outbox.clear();
        Ok(())
    }

    /// The same while the handler may work on for a client that is gone: what the client was to get is dropped then.
    pub(super) async fn flush_if_there(&mut self) -> io::Result<()> {
        let flushed = self.flush().await;
        if flushed.is_ok() || !self.owes_answer || self.connection.client() != ClientEnd::Gone {
            return flushed;
        }
        self.outbox.clear();
        Ok(())
    }

    fn poll_write(&mut self, from: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let outbox = mem::take(&mut self.outbox);
        let written =
            self.poll_in_time(cx, |stream, cx| stream.poll_write(cx, &outbox.bytes()[from..]));
        self.outbox = outbox;
        match ready!(written)? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            amount => {
                self.taking.count_sent(amount);
                self.connection.count_sent(amount);
                Poll::Ready(Ok(amount))
            }
        }
    }

    /// Writes or flushes, as long as the client is not too slow to take it.
    fn poll_in_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let too_slow = || io::Error::new(io::ErrorKind::TimedOut, "the client takes no answer");
        // Before the write: the system may have room for a few more bytes though the client has taken none.
        if self.is_stalled() {
            return Poll::Ready(Err(too_slow()));
        }
        let Poll::Ready(done) = write(Pin::new(&mut self.stream), cx) else {
            let limit = |wire: &mut Self, now: Instant| {
                wire.taking.look(wire.stream.unreceived(), now);
                wire.taking.wait(&wire.http.limits, now)
            };
            return self.poll_limit(Waiting::Answer, cx, limit).map(|()| Err(too_slow()));
        };
        if self.connection.wait_for(None).is_some() {
            self.taking.go_on(self.connection.clock().now());
        }
        if done.is_err() {
            self.note_client(ClientEnd::Gone);
        }
        Poll::Ready(done)
    }
}
