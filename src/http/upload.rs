//! A request body on its way in: from the wire, through the unframer, to whoever reads it.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use http_types::StatusCode;

use super::body::{self, RequestBody};
use super::framing::Unframer;
use super::head::{Head, Refusal, refuse};
use super::limits::Limits;
use super::wire::{Waiting, Wire};
use crate::net::Stream;

/// How much of a body that nobody wants is read for the sake of the next request, in bytes.
const SPARE: u64 = 64 * 1024;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A request body on its way in.
pub(super) struct Upload {
    intake: body::Intake,
    unframer: Unframer,
    continue_first: bool,
    fault: Option<Refusal>,
}

impl Upload {
    /// A body framed like this, and the end at which it is read. It is an error if it is too long.
    pub(super) fn new(head: &Head, limits: &Limits) -> Result<(Upload, RequestBody), Refusal> {
        let unframer = Unframer::new(head.framing, limits.body_size)?;
        let (intake, body) = body::pipe();
        let upload =
            Upload { intake, unframer, continue_first: head.expects_continue, fault: None };
        Ok((upload, body))
    }

    /// Whether all of it has come.
    pub(super) fn is_done(&self) -> bool {
        self.unframer.is_done()
    }

    /// Whether it was malformed, too large, too slow or cut short.
    pub(super) fn has_failed(&self) -> bool {
        self.fault.is_some()
    }

    /// Takes what belongs to the body out of the inbox.
    fn take(&mut self, inbox: &mut Vec<u8>) -> Result<Vec<u8>, Refusal> {
        let mut content = Vec::new();
        let taken = self.unframer.feed(inbox, &mut content)?;
        inbox.drain(..taken);
        Ok(content)
    }

    /// Before the answer: if nobody can read the body any more, what has arrived of it is skipped;
    /// if the answer's own body may read it, it is time for `100 Continue`, which later would stand
    /// in the midst of the answer. Tells what was wrong with the body, if anything was.
    pub(super) fn settle<S>(&mut self, wire: &mut Wire<S>) -> Option<Refusal> {
        if self.fault.is_none() && self.intake.is_abandoned() {
            self.fault = self.take(&mut wire.inbox).err();
        } else if self.fault.is_none() && self.needs_continue() {
            wire.outbox.extend_from_slice(CONTINUE);
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
            let Ok(skipped) = self.take(&mut wire.inbox) else {
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
            let more = poll_fn(|cx| match wire.connection.draining() {
                true => Poll::Ready(Ok(0)),
                false => wire.poll_fill_within(Waiting::Body, cx),
            });
            if !matches!(more.await, Ok(1..)) {
                return Ok(false);
            }
        }
    }
}

/// Moves the body on while somebody waits for it. Ready when it has moved.
pub(super) fn poll_upload<S: Stream>(
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
        match upload.take(&mut wire.inbox) {
            Ok(content) if !content.is_empty() || upload.unframer.is_done() => break Ok(content),
            Ok(_) => {}
            Err(refusal) => break Err((refusal, io::ErrorKind::InvalidData)),
        }
        if upload.needs_continue() {
            wire.outbox.extend_from_slice(CONTINUE);
            return Poll::Ready(());
        }
        match ready!(wire.poll_fill_within(Waiting::Body, cx)) {
            Ok(amount) if amount > 0 => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let late = refuse(StatusCode::RequestTimeout, "the request body took too long");
                break Err((late, io::ErrorKind::TimedOut));
            }
            _ => {
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
