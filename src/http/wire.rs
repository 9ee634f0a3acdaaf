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

use super::guard::{self, Head, Refusal};
use super::resting::{Past, Resting};
use super::shared::Http;
use crate::net::Stream;
use crate::register::{State, Waiting};
use crate::server::Connection;

/// How much of an answer is gathered before it is written.
const WRITE_SIZE: usize = 32 * 1024;

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

/// An answer that is complete, and to be counted when all of it is written.
struct Unsent {
    /// Where it ends in the outbox.
    end: usize,
    status: u16,
    began: Instant,
}

impl Unsent {
    fn count(&self, connection: &Connection) {
        let took = connection.clock().now().saturating_duration_since(self.began);
        connection.count_answer(self.status, took);
    }
}

/// A connection that is busy.
pub(super) struct Wire<S: Stream> {
    stream: S,
    connection: Connection,
    http: Rc<Http>,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// Answers in the outbox.
    unsent: Vec<Unsent>,
    /// What the client had not received when the system was last asked, if it tells.
    unreceived: Option<usize>,
    past: Past,
}

impl<S: Stream> Wire<S> {
    /// Begins where a resting connection has received its first bytes.
    pub(super) fn new(resting: Resting<S>, inbox: Vec<u8>) -> Wire<S> {
        let Resting { stream, connection, http, past } = resting;
        let (outbox, unsent) = (Vec::new(), Vec::new());
        Wire { stream, connection, http, inbox, outbox, unsent, unreceived: None, past }
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
        self.http.poll_receive(&mut self.stream, &self.connection, &mut self.inbox, cx)
    }

    /// Reads once within the time limit of `waiting`.
    pub(super) fn poll_fill_within(
        &mut self,
        waiting: Waiting,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Filled>> {
        let Poll::Ready(read) = self.poll_fill(cx)? else {
            ready!(self.poll_limit(waiting, cx));
            return Poll::Ready(Ok(Filled::TooLate));
        };
        if waiting != Waiting::Head {
            self.connection.wait_for(None);
        }
        Poll::Ready(Ok(if read == 0 { Filled::End } else { Filled::Bytes }))
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
    fn poll_limit(&mut self, waiting: Waiting, cx: &mut Context<'_>) -> Poll<()> {
        if self.connection.wait_for(Some(waiting)) != Some(waiting) {
            let limits = &self.http.limits;
            self.connection.set_limit(match waiting {
                Waiting::Head => limits.head_time,
                Waiting::Body => limits.body_time,
                _ => limits.answer_time,
            });
            if waiting == Waiting::Answer {
                self.unreceived = self.stream.unreceived();
            }
        }
        self.connection.poll_expired(cx)
    }

    /// Whether the client has taken none of an answer for too long. The system has room for more only when
    /// a third of its buffer is empty: what the client took before that gives it time too.
    fn is_stalled(&mut self) -> bool {
        if self.connection.waits_for() != Some(Waiting::Answer) || !self.connection.expired() {
            return false;
        }
        let before = mem::replace(&mut self.unreceived, self.stream.unreceived());
        let has_taken = before.zip(self.unreceived).is_some_and(|(before, now)| now < before);
        if has_taken {
            self.connection.set_limit(self.http.limits.answer_time);
        }
        !has_taken
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
    }

    /// Whether the connection has not had all the requests yet that one may have.
    pub(super) fn may_go_on(&self) -> bool {
        u64::from(self.past.requests) < self.http.limits.requests
    }

    // ------------------------------------------------------------ bytes out

    /// Whether bytes wait to be written.
    pub(super) fn has_output(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Whether as much waits to be written as is gathered at most.
    pub(super) fn is_full(&self) -> bool {
        self.outbox.len() >= WRITE_SIZE
    }

    /// Adds bytes to those that wait to be written.
    pub(super) fn queue(&mut self, bytes: &[u8]) {
        self.outbox.extend_from_slice(bytes);
    }

    pub(super) fn output(&self) -> &[u8] {
        &self.outbox
    }

    /// Changes what waits to be written.
    pub(super) fn edit_output(&mut self, edit: impl FnOnce(&mut Vec<u8>)) {
        edit(&mut self.outbox);
    }

    /// Moves one read of an answer to the outbox.
    pub(super) fn poll_queue(
        &mut self,
        answer: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.http.poll_read(answer, &mut self.outbox, cx)
    }

    /// Says whether the client must see a reset if what is being sent is cut.
    pub(super) fn reset_if_cut(&mut self, must: bool) {
        self.stream.reset_on_close(must);
    }

    /// Says that an answer is complete; it counts once all of it is written.
    pub(super) fn complete_answer(&mut self, status: u16) {
        let unsent = Unsent { end: self.outbox.len(), status, began: self.connection.since() };
        match unsent.end {
            0 => unsent.count(&self.connection),
            _ => self.unsent.push(unsent),
        }
    }

    /// Writes all of the outbox. An error if the client takes nothing for too long.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        let mut written = 0;
        while written < self.outbox.len() {
            written += poll_fn(|cx| self.poll_write(written, cx)).await?;
            let whole = self.unsent.iter().take_while(|answer| answer.end <= written).count();
            self.unsent.drain(..whole).for_each(|answer| answer.count(&self.connection));
        }
        if written > 0 {
            // A stream that has a buffer of its own would keep the end of the answer there.
            poll_fn(|cx| self.poll_in_time(cx, |stream, cx| stream.poll_flush(cx))).await?;
        }
        self.outbox.clear();
        Ok(())
    }

    fn poll_write(&mut self, from: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let outbox = mem::take(&mut self.outbox);
        let written = self.poll_in_time(cx, |stream, cx| stream.poll_write(cx, &outbox[from..]));
        self.outbox = outbox;
        match ready!(written)? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            amount => {
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
        match write(Pin::new(&mut self.stream), cx) {
            Poll::Ready(done) => {
                self.connection.wait_for(None);
                Poll::Ready(done)
            }
            Poll::Pending => self.poll_limit(Waiting::Answer, cx).map(|()| Err(too_slow())),
        }
    }
}
