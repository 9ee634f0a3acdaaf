//! What a client that speaks HTTP/2 is owed: each stream answered whole, or visibly not.

use std::time::Duration;

use super::frames::{CANCEL, NO_ERROR, REFUSED_STREAM};
use super::wire::Stream;
use super::{Answered, Plan, message};
use crate::client::id;
use crate::client_plan::{BodyPlan, Then};
use crate::content::content;
use crate::judge::{Case, HEAD_GRACE, PATIENCE};
use crate::net::End;

/// `named`: the report says that its connection was cut off.
pub fn judge(case: &Case, plan: &Plan, end: &End, named: bool) -> Result<(), String> {
    let judged = Judged { case, plan, end, named };
    for (number, seen) in case.seen.http2.streams.iter().enumerate() {
        let answer = |fault| format!("stream {number}: {fault}");
        if let Some(answered) = &seen.answered {
            judged.answer(number, answered).map_err(answer)?;
        } else if let Some(stream) = seen.id {
            judged.unanswered(number, stream).map_err(answer)?;
        }
    }
    if let Some(goodbye) = end.http2.goodbyes.iter().find(|it| it.error != NO_ERROR) {
        return Err(format!("it is told to go away with error {}", goodbye.error));
    }
    judged.health()?;
    if plan.preface.is_some() {
        judged.part_of_a_preface()?;
    }
    judged.end()
}

/// Statuses of gRPC.
const OK: &str = "0";
const INTERNAL: &str = "13";
const UNAVAILABLE: &str = "14";

/// How much all answers of a connection together may be without the client making room (RFC 9113, 6.9.2), less
/// what frames messages.
const CONNECTION_WINDOW: usize = 60_000;

struct Judged<'a> {
    case: &'a Case<'a>,
    plan: &'a Plan,
    end: &'a End,
    named: bool,
}

impl Judged<'_> {
    fn is_gone(&self) -> bool {
        self.case.seen.vanished || self.case.seen.left
    }

    /// It has closed its side, and can make no more room for answers (docs/rules.md, 13); or what it had to
    /// send has not all been sent.
    fn is_cut_short(&self, number: usize) -> bool {
        let all = self.case.plan.requests.iter().map(|request| request.handling.then.length());
        let window = (self.plan.window as usize).min(CONNECTION_WINDOW);
        let stream = self.case.seen.http2.streams[number].id;
        let stream = stream.and_then(|id| self.end.http2.streams.get(&id));
        let is_whole = stream.is_some_and(|stream| stream.is_whole);
        self.case.seen.half_closed && (!is_whole || all.sum::<usize>() > window)
    }

    /// A watch of the health ends with the drain, if its client reads what it is told.
    fn health(&self) -> Result<(), String> {
        let seen = self.case.seen;
        let is_watched = !seen.http2.health.is_empty() && !seen.http2.watch_ended;
        let is_prompt = self.plan.is_prompt(self.case.plan);
        let is_open = !self.is_gone() && !seen.half_closed;
        match is_watched && is_prompt && is_open && !self.case.is_aborted() {
            true => Err("its watch of the health has not ended".to_owned()),
            false => Ok(()),
        }
    }

    /// It was cut off at this time, or just before: a last word was due.
    fn is_last_word(&self, at: Option<Duration>) -> bool {
        self.named && at.is_some() && at == self.end.dropped_at
    }

    /// A whole answer is the one that was asked for, or says why not.
    fn answer(&self, number: usize, answered: &Answered) -> Result<(), String> {
        let (answer, at) = &self.case.seen.answers[answered.answer];
        let (plan, asked) = (&self.case.plan.requests[number], &self.case.seen.requests[number]);
        let then = &plan.handling.then;
        let stream = self.case.seen.http2.streams[number].id;
        let stream = stream.and_then(|id| self.end.http2.streams.get(&id));
        let is_last_word = self.is_last_word(stream.and_then(|stream| stream.answered));
        let grpc_status = answered.grpc_status.as_deref();
        let id = id(self.case.number, number);
        let expected = if self.plan.is_grpc { 200 } else { then.status() };
        let (status, parts) = match then {
            Then::Answer(len) | Then::SayClose(len) => (OK, vec![*len]),
            Then::Stream(parts) => (OK, parts.iter().map(|(_, len)| *len).collect()),
            _ => (INTERNAL, Vec::new()),
        };
        let content = self.content(&id, &parts);
        if self.plan.is_grpc && grpc_status == Some(UNAVAILABLE) && is_last_word {
            return match content.starts_with(&answer.body) {
                true => Ok(()),
                false => Err("what came before the last word is wrong".to_owned()),
            };
        }
        if asked.handled.is_none() || answer.status != expected {
            return match answer.status {
                400 if self.is_cut_short(number) => Ok(()),
                408 if self.case.paused(asked, *at) >= self.case.body_time() => Ok(()),
                503 if is_last_word && !self.plan.is_grpc => Ok(()),
                status => Err(format!("{status} instead of {expected}")),
            };
        }
        if self.plan.is_grpc && grpc_status == Some(INTERNAL) && self.is_cut_short(number) {
            return Ok(());
        }
        if self.plan.is_grpc && grpc_status != Some(status) {
            return Err(format!("{grpc_status:?} instead of {status}"));
        }
        let is_its_own = parts.is_empty() || answer.header("x-id") == Some(&id);
        match is_its_own && answer.body == content {
            true => Ok(()),
            false => Err("it belongs to another request, or its body is wrong".to_owned()),
        }
    }

    fn content(&self, id: &str, parts: &[usize]) -> Vec<u8> {
        let whole = content(id, parts.iter().sum());
        if !self.plan.is_grpc {
            return whole;
        }
        let mut rest = &whole[..];
        let messages = parts.iter().map(|len| {
            let (part, behind) = rest.split_at(*len);
            rest = behind;
            message(part)
        });
        messages.collect::<Vec<_>>().concat()
    }

    /// The client has not got the whole answer to a stream: somebody must be to blame for it.
    fn unanswered(&self, number: usize, id: u32) -> Result<(), String> {
        let (seen, asked) =
            (&self.case.seen.http2.streams[number], &self.case.seen.requests[number]);
        if seen.was_reset || self.is_gone() || self.is_cut_short(number) {
            return Ok(());
        }
        let is_refused = self.end.http2.is_refused(id);
        if is_refused && asked.was_begun {
            return Err("it may be tried again, and its handler was called".to_owned());
        }
        let Some(stream) = self.end.http2.streams.get(&id) else {
            return match is_refused || self.named || self.came_too_late(number) {
                true => Ok(()),
                false => Err("it was not looked at, and nobody told so".to_owned()),
            };
        };
        match stream.reset {
            // A client that writes on a closed connection may lose what it has not read. So the server
            // lingers, if there is time.
            _ if stream.answered.is_some() => match self.case.has_lingered(self.end) {
                true => Ok(()),
                false if self.case.was_out_of_time(self.end).is_ok() => Ok(()),
                false => Err("it is answered, and the client has not got it".to_owned()),
            },
            Some((error, at)) => self.reset(number, stream, error, at),
            None if is_refused || self.named || self.takes_nothing() => Ok(()),
            None if self.came_too_late(number) => Ok(()),
            None => Err("it is lost".to_owned()),
        }
    }

    /// The server had closed its side when it was sent.
    fn came_too_late(&self, number: usize) -> bool {
        let written = self.case.seen.http2.streams[number].written;
        written.is_none_or(|written| written.order > self.end.closed_order)
    }

    fn reset(
        &self,
        number: usize,
        stream: &Stream,
        error: u32,
        at: Duration,
    ) -> Result<(), String> {
        let was_begun = self.case.seen.requests[number].was_begun;
        let body = &self.case.plan.requests[number].body;
        let is_repeatable = !self.plan.is_grpc && matches!(body, BodyPlan::None);
        let waited = at.saturating_sub(stream.moved.max(stream.arrived));
        match error {
            REFUSED_STREAM if self.is_last_word(Some(at)) && (!was_begun || is_repeatable) => {
                Ok(())
            }
            REFUSED_STREAM if !was_begun && self.had_its_moment(at) => Ok(()),
            REFUSED_STREAM if was_begun => {
                Err("it may be tried again, and its handler was called".to_owned())
            }
            REFUSED_STREAM | CANCEL if waited >= self.case.answer_time() => Ok(()),
            _ => Err(format!("it is reset with error {error} after {waited:?}")),
        }
    }

    /// The client was told to go away two seconds before, and goes on asking.
    fn had_its_moment(&self, at: Duration) -> bool {
        self.end.http2.goodbyes.first().is_some_and(|goodbye| at >= goodbye.at + HEAD_GRACE)
    }

    /// In the lame duck a client is told to go away when a stream has ended.
    fn is_sent_elsewhere(&self) -> Result<bool, String> {
        let answered = self.case.seen.answered();
        let mut handled = answered.filter_map(|asked| asked.handled);
        let wire = &self.end.http2;
        if handled.any(|handled| handled.leaving) && wire.goodbyes.is_empty() {
            return Err("it is answered in the lame duck, and not told to go away".to_owned());
        }
        let since = self.case.leaving_since();
        Ok(wire.asked() && since.is_some_and(|since| wire.rested >= since))
    }

    /// The connection was cut because its client took nothing for too long.
    fn takes_nothing(&self) -> bool {
        let dropped = self.end.dropped_at.unwrap_or_default();
        dropped >= self.end.http2.wrote.saturating_add(self.case.answer_time())
    }

    /// It is refused as if it were HTTP/1.1, or not at all.
    fn part_of_a_preface(&self) -> Result<(), String> {
        let told = &self.case.seen.raw_received;
        // Some of it is a malformed head of HTTP/1.1, and not half of one.
        let is_refused = told.starts_with(b"HTTP/1.1 408 ") || told.starts_with(b"HTTP/1.1 400 ");
        match told.is_empty() || is_refused {
            true => Ok(()),
            false => Err(format!("it is told {:?}", String::from_utf8_lossy(told))),
        }
    }

    /// Why the connection ended.
    fn end(&self) -> Result<(), String> {
        let (case, end) = (self.case, self.end);
        if self.named {
            return case.was_out_of_time(end);
        }
        if self.is_gone() || case.seen.half_closed {
            return Ok(());
        }
        if case.seen.reset && !case.has_lingered(end) {
            return Err("reset".to_owned());
        }
        let (head_time, idle, requests) = case.limits();
        let has_limit = match end.http2.is_http2() {
            true => idle < PATIENCE || end.http2.streams.len() as u64 >= requests,
            false => {
                let began = end.http2.began().unwrap_or_default();
                idle < PATIENCE || end.dropped_at >= Some(began + head_time)
            }
        };
        match self.is_sent_elsewhere()? || end.dropped_draining || has_limit || self.takes_nothing()
        {
            true => Ok(()),
            false => Err("closed for no reason".to_owned()),
        }
    }
}
