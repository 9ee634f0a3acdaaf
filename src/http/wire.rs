//! A busy connection's bytes: the stream, what was read and not used yet, what is to be written.
//!
//! A resting connection has no buffers: reads go through one scratch buffer that all connections of the
//! server share, and only what has really arrived is kept.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_lite::AsyncRead;

use super::Http;
use super::head::Head;
use super::resting::{Past, Resting};
use crate::net::Stream;
use crate::register::State;
pub(super) use crate::register::Waiting;
use crate::server::Connection;

/// How much is read at once, in bytes.
pub(super) const READ: usize = 16 * 1024;

/// How much of an answer is gathered before it is written.
pub(super) const WRITE: usize = 32 * 1024;

/// How much is read, while draining, to see whether one more request has arrived: about what the
/// system holds for a socket by default (tcp_rmem in tcp(7)).
const LAST_LOOK: usize = 128 * 1024;

/// How many requests a connection may add to its pipeline while draining.
const MAX_LOOKS: u8 = 64;

/// Empty lines that may stand in front of a request.
const MAX_EMPTY_LINES: u8 = 8;

/// An answer that is complete, and to be counted when all of it is written.
struct Answer {
    /// Where it ends in the outbox.
    end: usize,
    status: u16,
    began: Instant,
}

impl Answer {
    fn count(&self, connection: &Connection) {
        let took = connection.clock().now().saturating_duration_since(self.began);
        connection.count_answer(self.status, took);
    }
}

/// A connection that is busy.
pub(super) struct Wire<S> {
    pub(super) stream: S,
    pub(super) connection: Connection,
    pub(super) http: Rc<Http>,
    pub(super) inbox: Vec<u8>,
    pub(super) outbox: Vec<u8>,
    /// Answers in the outbox.
    answers: Vec<Answer>,
    past: Past,
}

impl<S: Stream> Wire<S> {
    /// Begins where a resting connection has received its first bytes.
    pub(super) fn new(resting: Resting<S>, inbox: Vec<u8>) -> Wire<S> {
        let Resting { stream, connection, http, past } = resting;
        let (outbox, answers) = (Vec::new(), Vec::new());
        Wire { stream, connection, http, inbox, outbox, answers, past }
    }

    /// Says that the connection is between requests, and lets its buffers go.
    pub(super) fn rest(self) -> Resting<S> {
        let Wire { stream, connection, http, past, .. } = self;
        connection.set_state(State::Idle, Some(http.limits.idle));
        Resting { stream, connection, http, past }
    }

    /// Reads once, and appends to the inbox. 0 is the end of the stream.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.http.poll_read(&mut self.stream, &self.connection, &mut self.inbox, cx)
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

    /// Skips empty lines in front of a request (RFC 9112, 2.2). False: there are too many.
    pub(super) fn skip_empty_lines(&mut self) -> bool {
        let lines = self.inbox.chunks_exact(2).take_while(|line| *line == b"\r\n").count();
        self.inbox.drain(..2 * lines);
        let lines = u8::try_from(lines).unwrap_or(u8::MAX);
        self.past.empty_lines = self.past.empty_lines.saturating_add(lines);
        self.past.empty_lines <= MAX_EMPTY_LINES
    }

    /// Reads once within the time limit of `waiting`. An error of kind `TimedOut` is the limit's.
    pub(super) fn poll_fill_within(
        &mut self,
        waiting: Waiting,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match self.poll_fill(cx) {
            Poll::Ready(read) => {
                if waiting != Waiting::Head {
                    self.connection.wait_for(None);
                }
                Poll::Ready(read)
            }
            Poll::Pending => self.poll_limit(waiting, cx).map(Err),
        }
    }

    /// To be asked after a read or write came back pending: starts the time limit of what is
    /// waited for, and is ready, with the error, once it has passed.
    fn poll_limit(&mut self, waiting: Waiting, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.connection.wait_for(Some(waiting)) != Some(waiting) {
            let limits = &self.http.limits;
            self.connection.set_limit(match waiting {
                Waiting::Head => limits.head_time,
                Waiting::Body => limits.body_time,
                _ => limits.answer_time,
            });
        }
        self.connection.poll_expired(cx).map(|()| io::ErrorKind::TimedOut.into())
    }

    /// Part of a request head is here: from now on it has a time limit.
    pub(super) fn begin_head(&mut self) {
        self.connection.wait_for(Some(Waiting::Head));
        self.connection.set_state(State::Head, Some(self.http.limits.head_time));
    }

    /// The whole head is here: the time limit is over, and handlers have none.
    pub(super) fn begin_request(&mut self, head: &Head) {
        self.inbox.drain(..head.len);
        self.connection.wait_for(None);
        self.past.requests = self.past.requests.saturating_add(1);
        self.past.empty_lines = 0;
        self.connection.set_state(State::Active, None);
        self.connection.set_request(format_args!("{}", head.request()));
    }

    /// Whether the connection has not had all the requests yet that one may have.
    pub(super) fn may_go_on(&self) -> bool {
        u64::from(self.past.requests) < self.http.limits.requests
    }

    /// Moves one read of an answer to the outbox.
    pub(super) fn poll_encode(
        &mut self,
        answer: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let scratch = &mut *self.http.scratch.borrow_mut();
        let amount = ready!(Pin::new(answer).poll_read(cx, scratch))?;
        self.outbox.extend_from_slice(&scratch[..amount]);
        Poll::Ready(Ok(amount))
    }

    /// Says that an answer is complete; it counts once all of it is written.
    pub(super) fn complete_answer(&mut self, status: u16) {
        let answer = Answer { end: self.outbox.len(), status, began: self.connection.since() };
        match answer.end {
            0 => answer.count(&self.connection),
            _ => self.answers.push(answer),
        }
    }

    /// Writes all of the outbox. Ready with an error if the client takes nothing for too long.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        let mut written = 0;
        while written < self.outbox.len() {
            written += poll_fn(|cx| {
                // Asked once more, the system may find room for bytes though the client took none.
                let waits = self.connection.waits_for() == Some(Waiting::Answer);
                if waits && self.connection.expired() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                match Pin::new(&mut self.stream).poll_write(cx, &self.outbox[written..]) {
                    Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(amount)) => {
                        self.connection.wait_for(None);
                        self.connection.count_sent(amount);
                        Poll::Ready(Ok(amount))
                    }
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    Poll::Pending => self.poll_limit(Waiting::Answer, cx).map(Err),
                }
            })
            .await?;
            let whole = self.answers.iter().take_while(|answer| answer.end <= written).count();
            self.answers.drain(..whole).for_each(|answer| answer.count(&self.connection));
        }
        self.outbox.clear();
        Ok(())
    }
}
