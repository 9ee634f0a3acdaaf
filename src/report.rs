//! What a run has come to: the cause of its end, the outcome of each service, who was cut off.
//!
//! A [`Report`] answers questions in tests, prints as a person would tell it, and maps to the exit code.

use std::any::Any;
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use log::{debug, error, info, warn};

use crate::connection::{State, Waiting};
use crate::counts::Counts;
use crate::error::BoxError;
use crate::exit::ExitCodes;
use crate::net::Peer;
use crate::signal::{Signal, SignalName};
use crate::timeline::Timeline;

/// How many of those that were cut off the log names; the report has them all.
const NAMED: usize = 20;

/// Why shutdown began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The process was asked to end.
    Signal(Signal),
    /// A [`Trigger`](crate::Trigger) asked.
    Trigger,
    /// This service returned an error or panicked.
    Failed(String),
    /// Every service came to its end by itself.
    AllFinished,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Signal(signal) => SignalName(*signal).fmt(f),
            Cause::Trigger => f.write_str("a trigger"),
            Cause::Failed(service) => write!(f, "the failure of {service}"),
            Cause::AllFinished => f.write_str("the end of all services"),
        }
    }
}

/// How one service ended.
#[derive(Debug)]
pub enum Outcome {
    /// It returned `Ok`, and all of its connections are closed.
    Finished,
    /// It returned this error.
    Failed(BoxError),
    /// It panicked with this message.
    Panicked(String),
    /// It, or some of its connections, missed the deadline.
    CutOff,
}

impl Outcome {
    /// The outcome of a service's future, run inside `catch_unwind`.
    pub(crate) fn of(ended: std::thread::Result<Result<(), BoxError>>) -> Outcome {
        match ended {
            Ok(Ok(())) => Outcome::Finished,
            Ok(Err(error)) => Outcome::Failed(error),
            Err(panic) => Outcome::Panicked(panic_message(&*panic)),
        }
    }

    /// Whether the service failed or panicked.
    pub fn is_failure(&self) -> bool {
        matches!(self, Outcome::Failed(_) | Outcome::Panicked(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Finished => f.write_str("finished"),
            Outcome::Failed(error) => write!(f, "failed: {error}"),
            Outcome::Panicked(message) => write!(f, "panicked: {message}"),
            Outcome::CutOff => f.write_str("cut off"),
        }
    }
}

/// How one service ended, and what it has done.
#[derive(Debug)]
#[non_exhaustive]
pub struct ServiceReport {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What it has done.
    pub counts: Counts,
}

/// A connection at one instant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// Who is at the other end.
    pub peer: Peer,
    /// What the connection is doing.
    pub state: State,
    /// How long ago it was accepted.
    pub age: Duration,
    /// How long it has been in this state.
    pub in_state: Duration,
    /// The request in flight, such as `GET /slow`; empty where there is none.
    pub request: String,
    /// Bytes read from it.
    pub received: u64,
    /// Bytes written to it.
    pub sent: u64,
    /// What it waits for.
    pub waits_for: Waiting,
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} for {}", self.peer, self.state, Seconds(self.in_state))?;
        if !self.request.is_empty() {
            write!(f, ", {:.200}", self.request)?;
        }
        // A protocol that does not count has nothing to tell.
        for (bytes, way) in [(self.received, "in"), (self.sent, "out")] {
            if bytes > 0 {
                write!(f, ", {bytes} B {way}")?;
            }
        }
        write!(f, ", waits for {}, open for {}", self.waits_for, Seconds(self.age))
    }
}

/// A connection or a service that missed the deadline, or was left behind by an abort.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Straggler {
    /// The service that it is, or belongs to.
    pub service: String,
    /// The connection; `None` where it is the service itself that had not returned.
    pub connection: Option<Snapshot>,
}

impl fmt::Display for Straggler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.connection {
            Some(connection) => write!(f, "{}: {connection}", self.service),
            None => write!(f, "{}: still running", self.service),
        }
    }
}

/// What a run has come to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// Why shutdown began: the first cause.
    pub cause: Cause,
    /// Every service, in the order in which they were added.
    pub services: Vec<ServiceReport>,
    /// Who was cut off.
    pub stragglers: Vec<Straggler>,
    /// The signal that ended the wait before the deadline, if one did: a second one, or SIGQUIT.
    pub aborted: Option<Signal>,
    /// How long it took from the cause to the end.
    pub took: Duration,
    pub(crate) timeline: Timeline,
}

impl Report {
    /// Whether it was a graceful bye: no service failed, nothing was cut off, nobody aborted.
    pub fn is_graceful(&self) -> bool {
        let failed = self.services.iter().any(|service| service.outcome.is_failure());
        self.aborted.is_none() && !failed && self.stragglers.is_empty()
    }

    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&ServiceReport> {
        self.services.iter().find(|service| service.name == name)
    }

    /// The exit status: 128 + n when signal n aborted the wait, 1 when a service failed or
    /// panicked, 124 (as of timeout(1)) when the deadline cut something off, else 0. For other
    /// codes see [`ExitCodes::of_report`].
    pub fn exit_status(&self) -> u8 {
        ExitCodes::default().of_report(self)
    }

    /// [`exit_status`](Report::exit_status), ready to be returned from `main`.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit_status())
    }

    /// Draws the time from the cause to the end, as an SVG: a bar for each connection that was open
    /// after the cause, or for many alike.
    pub fn timeline(&self) -> String {
        let total = |one: fn(&Counts) -> u64| -> u64 {
            self.services.iter().map(|service| one(&service.counts)).sum()
        };
        let drained = total(|counts| counts.drained);
        let closed_idle = total(|counts| counts.closed_idle);
        let cut_off = total(|counts| counts.cut_off);
        self.timeline.draw(&format!(
            "shut down by {} in {}: {drained} drained, {closed_idle} closed idle, {cut_off} cut off",
            self.cause,
            Seconds(self.took)
        ))
    }

    /// Logs how it ended: the stragglers by name, and "a graceful bye" only if it was one.
    pub(crate) fn log(&self) {
        for straggler in self.stragglers.iter().take(NAMED) {
            warn!("cut off: {straggler}");
        }
        if self.stragglers.len() > NAMED {
            warn!("cut off: {} more", self.stragglers.len() - NAMED);
        }
        debug!("{self}");
        match self.aborted {
            Some(signal) => error!("{}", Aborted { signal, cause: &self.cause }),
            None if self.is_graceful() => info!("a graceful bye"),
            None if self.stragglers.is_empty() => {
                error!("shut down, but not every service was well")
            }
            None => error!("the deadline passed with {} left", self.stragglers.len()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shut down by {} in {}", self.cause, Seconds(self.took))?;
        if let Some(signal) = self.aborted {
            write!(f, ", {}", Aborted { signal, cause: &self.cause })?;
        }
        for service in &self.services {
            let Counts {
                accepted, refused, requests, drained, closed_idle, cut_off, panicked, ..
            } = &service.counts;
            write!(f, "\n{}: {}", service.name, service.outcome)?;
            write!(f, "; {accepted} accepted, {requests} requests, {drained} drained")?;
            write!(f, ", {closed_idle} closed idle, {cut_off} cut off, {panicked} panicked")?;
            if *refused > 0 {
                write!(f, ", {refused} refused")?;
            }
        }
        for straggler in &self.stragglers {
            write!(f, "\ncut off: {straggler}")?;
        }
        Ok(())
    }
}

/// That a signal has ended the wait.
struct Aborted<'a> {
    signal: Signal,
    cause: &'a Cause,
}

impl fmt::Display for Aborted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.cause == Cause::Signal(self.signal) && self.signal == Signal::Quit {
            true => write!(f, "cut short by {}", SignalName(self.signal)),
            false => write!(f, "aborted by a second signal, {}", SignalName(self.signal)),
        }
    }
}

/// A duration to read: milliseconds below one second, else seconds with one decimal.
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            short if short < Duration::from_secs(1) => write!(f, "{} ms", short.as_millis()),
            long => write!(f, "{:.1} s", long.as_secs_f64()),
        }
    }
}

/// `, 8 s left`, or nothing where there is no deadline.
pub(crate) struct Left(pub(crate) Option<Duration>);

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(left) if left.subsec_millis() == 0 => write!(f, ", {} s left", left.as_secs()),
            Some(left) => write!(f, ", {} left", Seconds(left)),
            None => Ok(()),
        }
    }
}

/// What a panic said, where it said anything.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    if let Some(message) = panic.downcast_ref::<&str>() {
        (*message).to_owned()
    } else if let Some(message) = panic.downcast_ref::<String>() {
        message.clone()
    } else {
        "no message".to_owned()
    }
}
