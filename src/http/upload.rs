//! A request body on its way in: from the wire, through the unframer, to its reader; and the work that goes
//! on beside it.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use futures_lite::future;
use http_types::StatusCode;

use super::body::{self, RequestBody};
use super::guard::{Head, Refusal, Unframer, refuse};
use super::watching::poll_client;
use super::wire::{Filled, Wire};
use crate::net::Stream;
use crate::web::{CONTINUE, Limits, Pace};

/// How much of a body that nobody wants is read for the sake of the next request, in bytes.
const SPARE: u64 = 64 * 1024;

/// A request body on its way in.
pub(super) struct Upload {
    intake: body::Intake,
    unframer: Unframer,
    pace: Pace,
    continue_first: bool,
    fault: Option<Refusal>,
}

impl Upload {
    /// A body framed like this, and the end at which it is read. It is an error if it is too long.
    pub(super) fn new(head: &Head, limits: &Limits) -> Result<(Upload, RequestBody), Refusal> {
        let unframer = Unframer::new(head.framing, limits.body_size)?;
        let (intake, body) = body::pipe();
        let (pace, continue_first) = (Pace::new(limits.body_rate), head.expects_continue);
        Ok((Upload { intake, unframer, pace, continue_first, fault: None }, body))
    }

    /// Whether all of it has come.
    pub(super) fn is_done(&self) -> bool {
        self.unframer.is_done()
    }

    /// Whether it was malformed, too large, too slow or cut short.
    pub(super) fn has_failed(&self) -> bool {
        self.fault.is_some()
    }

    /// Takes what belongs to the body out of what was read.
    fn take<S: Stream>(&mut self, wire: &mut Wire<S>) -> Result<Vec<u8>, Refusal> {
        let mut content = Vec::new();
        let taken = self.unframer.feed(wire.input(), &mut content)?;
        wire.consume(taken);
        self.pace.earn(taken);
        Ok(content)
    }

    /// Called before the answer is sent. If the handler dropped the body, skips what has arrived.
    /// Otherwise the response's body may still read it, so `100 Continue` is sent now: it must not appear
    /// inside the answer. Tells what was wrong with the body, if anything was.
    pub(super) fn settle<S: Stream>(&mut self, wire: &mut Wire<S>) -> Option<Refusal> {
        if self.fault.is_none() && self.intake.is_abandoned() {
            self.fault = self.take(wire).err();
        } else if self.fault.is_none() && self.needs_continue() {
            wire.outbox().bytes_mut().extend_from_slice(CONTINUE);
        }
        self.fault
    }

    /// Whether to say `100 Continue` now, which is done once, and not at all if part of the content
    /// has arrived already (RFC 9110, 10.1.1).
    fn needs_continue(&mut self) -> bool {
        std::mem::take(&mut self.continue_first) && self.unframer.is_untouched()
    }

    /// Whether the connection can be used again after this body.
    pub(super) fn can_be_finished(&self) -> bool {
        let little = !self.continue_first && self.unframer.at_least() <= SPARE;
        self.unframer.is_done() || little || !self.intake.is_abandoned()
    }

    /// Reads what is left of the request's body, if it is little. False: the connection must close.
    pub(super) async fn finish<S: Stream>(&mut self, wire: &mut Wire<S>) -> io::Result<bool> {
        let mut spare = SPARE;
        loop {
            let Ok(skipped) = self.take(wire) else {
                return Ok(false);
            };
            spare = spare.saturating_sub(skipped.len() as u64);
            if self.unframer.is_done() {
                return Ok(true);
            }
            if spare == 0 || self.fault.is_some() {
                return Ok(false);
            }
            wire.flush().await?;
            // The drain does not wait for what nobody wants.
            let more = poll_fn(|cx| match wire.connection().draining() {
                true => Poll::Ready(Ok(Filled::End)),
                false => wire.poll_fill_body(&mut self.pace, cx),
            });
            if !matches!(more.await, Ok(Filled::Bytes)) {
                return Ok(false);
            }
        }
    }
}

/// Runs `work`. While that waits, moves the request's body on and watches the client. What waits to be written is not
/// kept waiting with it.
pub(super) async fn drive<S: Stream, T>(
    wire: &mut Wire<S>,
    upload: &mut Option<Upload>,
    mut work: impl FnMut(&mut Wire<S>, &mut Context<'_>) -> Poll<T>,
) -> io::Result<T> {
    loop {
        let done = poll_fn(|cx| {
            if let Poll::Ready(done) = work(wire, cx) {
                return Poll::Ready(Ok(Some(done)));
            }
            if !wire.outbox().is_empty() {
                return Poll::Ready(Ok(None));
            }
            // The drain and the deadline change what is to be done.
            wire.connection().wake_on_change(cx);
            match poll_upload(upload, wire, cx) {
                Poll::Ready(()) => Poll::Ready(Ok(None)),
                Poll::Pending => poll_client(wire, cx).map_ok(|()| None),
            }
        });
        match done.await? {
            Some(done) => return Ok(done),
            None if !wire.outbox().is_empty() => wire.flush_if_there().await?,
            None => future::yield_now().await,
        }
    }
}

/// Moves the body on while somebody waits for it. Ready when it has moved.
fn poll_upload<S: Stream>(
    upload: &mut Option<Upload>,
    wire: &mut Wire<S>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let Some(upload) = upload else {
        return Poll::Pending;
    };
    if !upload.intake.is_wanted(cx) {
        return Poll::Pending;
    }
    let moved = loop {
        match upload.take(wire) {
            Ok(content) if !content.is_empty() || upload.unframer.is_done() => break Ok(content),
            Ok(_) => {}
            Err(refusal) => break Err((refusal, io::ErrorKind::InvalidData)),
        }
        if upload.needs_continue() {
            wire.outbox().bytes_mut().extend_from_slice(CONTINUE);
            return Poll::Ready(());
        }
        match ready!(wire.poll_fill_body(&mut upload.pace, cx)) {
            Ok(Filled::Bytes) => {}
            Ok(Filled::TooLate) => {
                let late = refuse(StatusCode::RequestTimeout, "the request body took too long");
                break Err((late, io::ErrorKind::TimedOut));
            }
            Ok(Filled::End) | Err(_) => {
                let cut = refuse(StatusCode::BadRequest, "the request body did not arrive whole");
                break Err((cut, io::ErrorKind::UnexpectedEof));
            }
        }
    };
    match moved {
        Ok(content) => upload.intake.push(content, upload.unframer.is_done(), cx),
        Err((refusal, kind)) => {
            upload.fault = Some(refusal);
            upload.intake.fail(kind, cx);
        }
    }
    Poll::Ready(())
}
