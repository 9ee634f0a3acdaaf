//! The invariants of a whole run: no request lost, no answer mixed up, nobody cut off unnamed.

use std::cell::Cell;
use std::time::Duration;

use adieu::http::Limits;
use adieu::{Cause, Peer, Report, Signal, Straggler};

use crate::accounts;
use crate::client::{id, is_raw};
use crate::client_plan::{BodyPlan, ClientPlan, RequestPlan, Talk, Then};
use crate::content::content;
use crate::http2;
use crate::net::{End, look};
use crate::plan::{Event, ServicePlan};
use crate::reader::Answer;
use crate::restarts;
use crate::talk;
use crate::watch::{Watch, all_have_finished, has_trouble, until};
use crate::world::{Asked, Seen, Stamp, World};

/// The least that half a head is given, and a connection that lingers.
pub const HEAD_GRACE: Duration = Duration::from_secs(2);
const LINGER: Duration = Duration::from_millis(100);
/// However slowly it comes, a body may take so long.
const BODY_ALLOWANCE: Duration = Duration::from_secs(5);
/// An idle limit beyond this is never reached before the drain.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub fn judge(world: &World, report: &Report, watch: &Watch) {
    for (number, plan) in world.plan.clients.iter().enumerate() {
        let seen = &world.seen[number].borrow();
        let (ended_draining, closed) = Default::default();
        let case = Case { world, report, watch, number, plan, seen, ended_draining, closed };
        if let Err(violation) = case.judge() {
            world.violation(format_args!("client {number}: {violation}"));
        }
    }
    for number in 0..world.served.len() {
        if let Err(violation) = accounts::judge(world, report, number) {
            world.violation(format_args!("service {number}: {violation}"));
        }
    }
    for straggler in &report.stragglers {
        if let Err(violation) = judge_straggler(world, watch, straggler) {
            world.violation(format_args!("{violation}: {straggler}"));
        }
    }
    if report.took > world.plan.grace {
        world.violation(format_args!("it took {:?}", report.took));
    }
    let all_well = report.stragglers.is_empty() && report.aborted.is_none() && !has_failed(report);
    if report.is_graceful() != all_well {
        world.violation(format_args!("the report is wrong: {report}"));
    }
    if !watch.cause.is_some_and(|at| is_a_cause(world, watch, &report.cause, at)) {
        world.violation(format_args!("that was not the first cause: {report}"));
    }
    if report.aborted.is_some() && !world.aborted.get() {
        world.violation(format_args!("nobody has aborted it: {report}"));
    }
    if report.exit_status() != exit_status(report) {
        world.violation(format_args!("the exit status is {}: {report}", report.exit_status()));
    }
}

/// What is cut off has waited for something: what can end without waiting has ended.
fn judge_straggler(world: &World, watch: &Watch, left: &Straggler) -> Result<(), &'static str> {
    let number: usize = left.service.parse().map_err(|_| "there is no such service")?;
    let (plan, served) = (&world.plan.services[number], &world.served[number]);
    // Its time was over at this instant, or it was ended early.
    let at = until(world, world.plan.stages[number]).min(watch.finished).unwrap_or_default();
    match &left.connection {
        Some(connection) if connection.state.is_in_flight() => Ok(()),
        Some(_) => Err("it is cut off with nothing in flight"),
        None if plan.listens() && !served.returned.get() && !has_trouble(world, number, at) => {
            Err("it is cut off, and its listener could have been closed")
        }
        None => Ok(()),
    }
}

/// Whether this happened at this time.
fn is_a_cause(world: &World, watch: &Watch, cause: &Cause, time: Duration) -> bool {
    let mut until_then = world.plan.events.iter().filter(|(at, _)| *at <= time);
    match cause {
        Cause::Signal(signal) => until_then.any(|(at, event)| {
            let is_it = matches!(event, Event::Signal(one) if one == signal);
            *at == time && is_it && !world.plan.life.is_reload(event)
        }),
        Cause::Trigger => {
            until_then.any(|(at, event)| *at == time && matches!(event, Event::Trigger))
        }
        Cause::Failed(name) => {
            let number = name.parse().unwrap_or(usize::MAX);
            match world.plan.services.get(number) {
                Some(ServicePlan::Fails(at) | ServicePlan::Panics(at)) => *at == time,
                Some(ServicePlan::Restarts(_)) => {
                    let failed = world.served[number].failed.borrow();
                    restarts::gave_up(world, number) && failed.last() == Some(&time)
                }
                // Its listener broke; that may have waited in the accept queue.
                _ => until_then.any(|(_, event)| match event {
                    Event::Accept(of, error) => *of == number && *error == libc::EBADF,
                    _ => false,
                }),
            }
        }
        Cause::MainEnded(_) | Cause::NotReady(_) | Cause::Idle => {
            watch.life.is_a_cause(world, cause, time)
        }
        Cause::AllFinished => all_have_finished(world, time),
    }
}

fn has_failed(report: &Report) -> bool {
    let failed = report.services.iter().any(|service| service.outcome.is_failure());
    failed || matches!(report.cause, Cause::NotReady(_))
}

fn exit_status(report: &Report) -> u8 {
    match report.aborted {
        Some(Signal::Hup) => 129,
        Some(Signal::Int) => 130,
        Some(Signal::Quit) => 131,
        Some(_term) => 143,
        None if has_failed(report) => 1,
        None if !report.stragglers.is_empty() => 124,
        None => 0,
    }
}

/// One client's connection and what became of it.
pub struct Case<'a> {
    world: &'a World,
    report: &'a Report,
    watch: &'a Watch,
    pub number: usize,
    pub plan: &'a ClientPlan,
    pub seen: &'a Seen,
    /// The server's end was dropped in the drain.
    ended_draining: Cell<bool>,
    /// When the server closed its side, among all that was seen.
    closed: Cell<u64>,
}

impl Case<'_> {
    fn judge(&self) -> Result<(), String> {
        let Some(peer) = self.seen.peer else {
            return Ok(()); // refused
        };
        let Some(end) = self.world.served[self.plan.service].ends.borrow().get(peer - 1).cloned()
        else {
            return match service_is_lost(self.report, self.plan.service) {
                true => Ok(()),
                false => Err("lost in the accept queue".to_owned()),
            };
        };
        self.ended_draining.set(look(&end).dropped_draining);
        self.closed.set(look(&end).closed_order);
        let named = is_named(self.report, self.plan.service, peer);
        if let Some(http2) = &self.plan.http2 {
            return http2::judge(self, http2, &look(&end), named);
        }
        for (number, (answer, at)) in self.seen.answers.iter().enumerate() {
            self.judge_answer(number, answer, *at)
                .map_err(|fault| format!("answer {number}: {fault}"))?;
        }
        talk::judge_echo(self.seen)?;
        if named {
            let end = look(&end);
            return match self.looks_whole(&end) {
                true => Err("it is cut, and looks whole".to_owned()),
                false => self.was_out_of_time(&end),
            };
        }
        if self.seen.vanished {
            return Ok(());
        }
        if self.seen.reset {
            let lingered = self.has_lingered(&look(&end));
            return match lingered || self.has_failed() || self.is_polite_upgrade() {
                true => Ok(()),
                false => Err("reset".to_owned()),
            };
        }
        if self.has_failed() && self.seen.raw_arrived > 0 {
            return Err("its handler has failed, and it looks whole".to_owned());
        }
        if self.seen.partial {
            return Err("its last answer is cut, and it is not named".to_owned());
        }
        if is_raw(self.world, self.number) {
            let succeeds = matches!(self.plan.talk, Talk::Echo(_) | Talk::Stubborn);
            if succeeds && !look(&end).half_closed {
                return Err("it is closed, and was not half-closed before".to_owned());
            }
            return talk::judge_end(self.plan, self.seen, self.ended_draining.get());
        }
        self.judge_end()
    }

    /// It was cut off when the time of its stage was over.
    pub fn was_out_of_time(&self, end: &End) -> Result<(), String> {
        let until = until(self.world, self.world.plan.stages[self.plan.service]);
        match end.dropped_at == until || end.dropped_at == self.watch.finished {
            true => Ok(()),
            false => Err("it is named, and its time was not over".to_owned()),
        }
    }

    /// Since when the service is a lame duck, if it is one.
    #[cfg_attr(not(feature = "hyper"), allow(dead_code))]
    pub fn leaving_since(&self) -> Option<Duration> {
        let plan = &self.world.plan;
        let is_lame = plan.stages[self.plan.service] == 0 && !plan.lame_duck.is_zero();
        self.watch.cause.filter(|_| is_lame)
    }

    #[cfg_attr(not(feature = "hyper"), allow(dead_code))]
    pub fn is_aborted(&self) -> bool {
        self.report.aborted.is_some()
    }

    /// The server has waited for its client to read the last of it.
    pub fn has_lingered(&self, end: &End) -> bool {
        let lingered = end.half_closed_at.zip(end.dropped_at);
        lingered.is_some_and(|(from, to)| to >= from + LINGER)
    }

    /// Whether the client takes what the handler itself has written for all that it had to say: it was
    /// cut off, and saw a clean end.
    fn looks_whole(&self, end: &End) -> bool {
        let upgraded = self.seen.answers.last().is_some_and(|(answer, _)| answer.status == 101);
        let is_handlers = upgraded || is_raw(self.world, self.number);
        is_handlers && !end.half_closed && !self.seen.vanished && !self.seen.reset
    }

    /// Its raw handler has returned an error or panicked.
    fn has_failed(&self) -> bool {
        let fails = matches!(self.plan.talk, Talk::Fail | Talk::Panic);
        fails && is_raw(self.world, self.number) && !self.seen.raw_sent.is_empty()
    }

    fn judge_answer(&self, number: usize, answer: &Answer, at: Stamp) -> Result<(), String> {
        let (Some(plan), Some(asked)) =
            (self.plan.requests.get(number), self.seen.requests.get(number))
        else {
            return Err("nobody asked".to_owned());
        };
        let Some(first) = asked.first else {
            return Err("before it was asked".to_owned());
        };
        if answer.says_close() && number + 1 < self.seen.answers.len() {
            return Err("another answer behind a close".to_owned());
        }
        let expected = plan.handling.then.status();
        if asked.handled.is_some() && answer.status == expected {
            let id = id(self.number, number);
            let len = match &plan.handling.then {
                Then::Answer(len) | Then::SayClose(len) => *len,
                Then::Stream(parts) => parts.iter().map(|(_, len)| len).sum(),
                _ => return Ok(()),
            };
            return match answer.header("x-id") == Some(&id) && answer.body == content(&id, len) {
                true => Ok(()),
                false => Err("it belongs to another request, or its body is wrong".to_owned()),
            };
        }
        let patience = self.limits().0.min(HEAD_GRACE);
        let in_time = |asked: &Asked| asked.head.is_some_and(|h| h.time < first.time + patience);
        match answer.status {
            // The rest of the body never came, or came too late.
            400 if asked.last.is_none() && self.seen.half_closed => Ok(()),
            408 if asked.head.is_some() && self.paused(asked, at) >= self.body_time() => Ok(()),
            408 if self.has_dripped(asked, at) => Ok(()),
            // The last word at the deadline.
            503 if self.was_cut_off_by(at) => Ok(()),
            408 if !in_time(asked) && at.time >= first.time + patience => Ok(()),
            status => Err(format!("{status} instead of {expected}")),
        }
    }

    /// Whether its body has had at least the time that every body has, however slow.
    fn has_dripped(&self, asked: &Asked, answered: Stamp) -> bool {
        asked.head.is_some_and(|head| answered.time >= head.time + BODY_ALLOWANCE)
    }

    /// Whether it is named as cut off, and the time was over by then. A slow client sees it later.
    fn was_cut_off_by(&self, seen: Stamp) -> bool {
        let until = until(self.world, self.world.plan.stages[self.plan.service]);
        let was_over = until.min(self.watch.finished).is_some_and(|at| seen.time >= at);
        was_over
            && self.seen.peer.is_some_and(|peer| is_named(self.report, self.plan.service, peer))
    }

    /// The longest time for which a request stood still before it was answered.
    pub fn paused(&self, asked: &Asked, answered: Stamp) -> Duration {
        let unfinished = asked.moved.filter(|_| asked.last.is_none());
        let at_last = unfinished.map(|moved| answered.time.saturating_sub(moved.time));
        asked.paused.max(at_last.unwrap_or_default())
    }

    /// Why the connection ended after the answers it got: was it owed more?
    fn judge_end(&self) -> Result<(), String> {
        let count = self.seen.answers.len();
        let next = self.seen.requests.get(count);
        let Some((last, _)) = self.seen.answers.last() else {
            return self.judge_silent_end(next);
        };
        let (plan, asked) = (&self.plan.requests[count - 1], &self.seen.requests[count - 1]);
        if last.status == 101 {
            return self.judge_upgrade();
        }
        let leaving = asked.handled.is_some_and(|handled| handled.leaving);
        if !last.says_close() {
            return match leaving {
                true => Err("the last answer does not say close".to_owned()),
                // Its body turned out to be too long to be skipped.
                false if plan.leaves_body() => Ok(()),
                false => self.judge_silent_end(next),
            };
        }
        let too_late = last.status == 408;
        if asked.handled.is_none()
            || too_late
            || plan.closes_anyway()
            || self.limits().2 == count as u64
        {
            return Ok(());
        }
        match () {
            // Of pipelined requests hyper is sure to answer the first alone (docs/rules.md, 13).
            () if self.had_arrived(count) && self.is_on_async_h1() => {
                Err(format!("request {count} had arrived, and was dropped"))
            }
            () if leaving || asked.last.is_none() => Ok(()),
            () if self.hyper_may_close(asked) && !self.is_on_async_h1() => Ok(()),
            () => Err("it says close for no reason".to_owned()),
        }
    }

    /// Whether this request was there, all of it, when it was decided whether the answer before it says close.
    fn had_arrived(&self, number: usize) -> bool {
        let requests = &self.seen.requests;
        let look = requests[number - 1].handled.filter(|handled| handled.leaving);
        let last = requests.get(number).and_then(|asked| asked.last);
        look.zip(last).is_some_and(|(look, last)| last < look.at)
    }

    /// The server has closed the connection without another word.
    fn judge_silent_end(&self, next: Option<&Asked>) -> Result<(), String> {
        match next.filter(|next| next.first.is_some()) {
            Some(next) if next.last.is_none() && self.seen.half_closed => Ok(()),
            Some(next) if next.first.is_some_and(|first| first.order > self.closed.get()) => Ok(()),
            Some(next) if self.is_pipelined(next) && !self.is_on_async_h1() => Ok(()),
            Some(_) => Err(format!("request {} is lost", self.seen.answers.len())),
            None if self.seen.half_closed
                || self.ended_draining.get()
                || self.limits().1 < PATIENCE =>
            {
                Ok(())
            }
            None => Err("closed for no reason".to_owned()),
        }
    }

    /// It was pipelined, or sent when the idle limit had just passed: hyper has looked once more, and found it.
    fn hyper_may_close(&self, asked: &Asked) -> bool {
        let before = self.seen.answers.iter().rev().nth(1).map(|(_, at)| *at);
        let limit = self.limits().1;
        before.zip(asked.first).is_some_and(|(before, first)| {
            first < before || first.time >= before.time.saturating_add(limit)
        })
    }

    /// Some of it was sent before the request before it was answered.
    fn is_pipelined(&self, next: &Asked) -> bool {
        let answered = self.seen.answers.last().map(|(_, at)| *at);
        answered.is_some_and(|at| next.first.is_some_and(|first| first < at))
    }

    fn judge_upgrade(&self) -> Result<(), String> {
        let (sent, received) = (&self.seen.raw_sent, &self.seen.raw_received);
        match self.is_polite_upgrade() || sent.len() == received.len() {
            true => Ok(()),
            false => Err("not all that was sent has come back".to_owned()),
        }
    }

    /// It was handed to a handler that lets go of it when the drain begins, whatever has come.
    fn is_polite_upgrade(&self) -> bool {
        self.plan.requests.iter().zip(&self.seen.requests).any(|(plan, asked)| {
            let polite = matches!(plan.handling.then, Then::Upgrade { polite: true });
            polite && asked.handled.is_some()
        })
    }

    pub fn body_time(&self) -> Duration {
        self.all_limits().body_time
    }

    #[cfg_attr(not(feature = "hyper"), allow(dead_code))]
    pub fn answer_time(&self) -> Duration {
        self.all_limits().answer_time
    }

    /// The time for a head, the time between requests, the number of requests.
    pub fn limits(&self) -> (Duration, Duration, u64) {
        let limits = self.all_limits();
        (limits.head_time, limits.idle, limits.requests)
    }

    fn is_on_async_h1(&self) -> bool {
        self.world.plan.services[self.plan.service].is_on_async_h1()
    }

    fn all_limits(&self) -> &Limits {
        match &self.world.plan.services[self.plan.service] {
            ServicePlan::Http { limits, .. } => limits,
            _ => unreachable!("its clients speak HTTP"),
        }
    }
}

impl Then {
    pub fn status(&self) -> u16 {
        match self {
            Then::Answer(_) | Then::SayClose(_) | Then::Stream(_) => 200,
            Then::Fail(status) => *status,
            Then::Panic => 500,
            Then::Upgrade { .. } => 101,
            Then::Never => 0,
        }
    }
}

impl Then {
    /// How many bytes of content the answer has.
    #[cfg_attr(not(feature = "hyper"), allow(dead_code))]
    pub fn length(&self) -> usize {
        match self {
            Then::Answer(len) | Then::SayClose(len) => *len,
            Then::Stream(parts) => parts.iter().map(|(_, len)| len).sum(),
            Then::Fail(_) | Then::Panic | Then::Never | Then::Upgrade { .. } => 0,
        }
    }
}

impl RequestPlan {
    /// The client or the handler asked for it, or a body is in the way.
    fn closes_anyway(&self) -> bool {
        self.asks_close || matches!(self.handling.then, Then::SayClose(_)) || self.leaves_body()
    }

    /// The handler has not read the body.
    fn leaves_body(&self) -> bool {
        !self.handling.reads_body && !matches!(self.body, BodyPlan::None)
    }
}

fn is_named(report: &Report, service: usize, peer: usize) -> bool {
    report.stragglers.iter().any(|left| {
        let connection = left.connection.as_ref().map(|connection| &connection.peer);
        left.service == service.to_string() && connection == Some(&Peer::Memory(peer as u64))
    })
}

/// The service failed, or was itself cut off: whoever waited in its accept queue went with it.
fn service_is_lost(report: &Report, service: usize) -> bool {
    let itself =
        |left: &adieu::Straggler| left.service == service.to_string() && left.connection.is_none();
    report.services[service].outcome.is_failure() || report.stragglers.iter().any(itself)
}
