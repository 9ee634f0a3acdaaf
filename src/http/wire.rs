//! One connection's bytes: the stream, what was read and not used yet, what is to be written.
//!
//! Both buffers are empty while the connection is idle: reads go through one scratch buffer that all
//! connections of the server share, and only what has really arrived is kept.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_lite::{AsyncRead, future};

use super::Http;
use super::head::Head;
pub(super) use crate::connection::Waiting;
use crate::connection::{Connection, State};
use crate::net::Stream;

/// How much is read at once, in bytes.
pub(super) const READ: usize = 16 * 1024;

/// How much of an answer is gathered before it is written.
pub(super) const WRITE: usize = 32 * 1024;

/// How much is read, while draining, to see whether one more request has arrived: about what the
/// system holds for a socket by default (tcp_rmem in tcp(7)).
const LAST_LOOK: usize = 128 * 1024;

/// How many requests a connection may add to its pipeline while draining.
const MAX_LOOKS: u32 = 64;

/// Empty lines that may stand in front of a request.
const MAX_EMPTY_LINES: usize = 8;

/// How long after it was accepted a connection still gets to send its first byte, when the drain finds
/// it without one. A client writes its request when its handshake is done; that takes a moment.
const FRESH: Duration = Duration::from_millis(20);

/// How long a connection lingers after its last answer (RFC 9112, 9.6), so that a reset in reply
/// to late bytes of the client cannot overtake the answer.
const LINGER: Duration = Duration::from_millis(500);

/// The same while draining, when the end of the process waits for it.
const LINGER_DRAINING: Duration = Duration::from_millis(100);

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

pub(super) struct Wire<S> {
    pub(super) stream: S,
    pub(super) connection: Connection,
    pub(super) inbox: Vec<u8>,
    pub(super) outbox: Vec<u8>,
    /// Requests received.
    requests: u64,
    /// Answers in the outbox.
    answers: Vec<Answer>,
    /// Empty lines skipped since the last request.
    empty_lines: usize,
    /// Looks for one more request that may still be taken while draining.
    looks_left: u32,
    pub(super) http: Rc<Http>,
}

impl<S: Stream> Wire<S> {
    pub(super) fn new(stream: S, connection: Connection, http: Rc<Http>) -> Wire<S> {
        let wire = Wire {
            stream,
            connection,
            inbox: Vec::new(),
            outbox: Vec::new(),
            requests: 0,
            answers: Vec::new(),
            empty_lines: 0,
            looks_left: MAX_LOOKS,
            http,
        };
        wire.connection.set_state(State::New, Some(wire.http.limits.idle));
        wire
    }

    /// Says that the connection is between requests, and gives its buffers back.
    pub(super) fn rest(&mut self) {
        self.inbox = Vec::new();
        self.outbox = Vec::new();
        self.answers = Vec::new();
        self.connection.set_state(State::Idle, Some(self.http.limits.idle));
    }

    /// Waits for the first byte of a request. False: there will be none.
    ///
    /// Rule 5 of the drain: whether it is the drain or the idle limit that ends the wait, the last
    /// thing done is one more read that does not block. A byte that is there is a request.
    pub(super) async fn first_byte(&mut self) -> io::Result<bool> {
        let read = poll_fn(|cx| {
            let over = self.connection.draining() || self.connection.expired();
            if !over {
                self.connection.wake_on_news(cx);
                ready!(self.stream.poll_readable(cx))?;
            }
            match self.poll_fill(cx)? {
                Poll::Ready(amount) => Poll::Ready(Ok::<_, io::Error>(Some(amount))),
                Poll::Pending if over => Poll::Ready(Ok(None)),
                Poll::Pending => Poll::Pending,
            }
        });
        match read.await? {
            Some(amount) => Ok(amount > 0),
            None if self.connection.state() == State::New => Box::pin(self.late_byte()).await,
            None => Ok(false),
        }
    }

    /// Who has just connected means to say something: its first byte may be on its way.
    async fn late_byte(&mut self) -> io::Result<bool> {
        let cx = self.connection.context().clone();
        let patience = FRESH.saturating_sub(cx.clock().now() - self.connection.since());
        if patience.is_zero() {
            return Ok(false);
        }
        let long_enough = async {
            cx.sleep(patience).await;
            Ok(0)
        };
        Ok(future::or(poll_fn(|cx| self.poll_fill(cx)), long_enough).await? > 0)
    }

    /// Reads once, and appends to the inbox. 0 is the end of the stream.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let scratch = &mut *self.http.scratch.borrow_mut();
        let amount = ready!(Pin::new(&mut self.stream).poll_read(cx, scratch))?;
        self.inbox.extend_from_slice(&scratch[..amount]);
        self.connection.count_received(amount);
        Poll::Ready(Ok(amount))
    }

    /// Reads what has arrived already: asked while draining, before an answer says `close`. A client
    /// that always has one more request in the pipeline is not served to the deadline.
    pub(super) async fn last_look(&mut self) {
        let Some(left) = self.looks_left.checked_sub(1) else {
            return;
        };
        self.looks_left = left;
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
        self.empty_lines += lines;
        self.empty_lines <= MAX_EMPTY_LINES
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
        self.requests += 1;
        self.empty_lines = 0;
        self.connection.set_state(State::Active, None);
        self.connection.set_request(format_args!("{}", head.request()));
    }

    /// Whether the connection has not had all the requests yet that one may have.
    pub(super) fn may_go_on(&self) -> bool {
        self.requests < self.http.limits.requests
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

    /// Half-closes, then reads what still comes until the peer closes too, for a short time at most.
    pub(super) async fn linger(mut self) -> io::Result<()> {
        self.connection.set_state(State::Closing, None);
        self.stream.half_close()?;
        let cx = self.connection.context().clone();
        let peer_closes = async {
            loop {
                self.inbox.clear();
                if poll_fn(|cx| self.poll_fill(cx)).await? == 0 {
                    return Ok(());
                }
                future::yield_now().await;
            }
        };
        let long_enough = async {
            if cx.shutdown().race(cx.sleep(LINGER)).await.is_none() {
                cx.sleep(LINGER_DRAINING).await;
            }
            Ok(())
        };
        future::or(peer_closes, long_enough).await
    }
}
