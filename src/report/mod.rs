//! What a run has come to: the cause of its end, the outcome of each service, who was cut off.
//!
//! A [`Report`] answers questions in tests, prints as a person would tell it, and maps to the exit
//! code. `timeline.rs` draws it.

mod cause;
mod ending;
mod exit_codes;
mod svg;
mod timeline;
mod unready;

use std::fmt;
use std::time::Duration;

use async_signal::Signal;
use log::{Level, debug, log};

use crate::error::BoxError;
use crate::register::{ConnectionStatus, Counts, Spans, TaskStatus};
use crate::words::{LOG, Seconds, SignalName, panic_message};

pub use cause::Cause;
pub(crate) use ending::Ending;
pub use exit_codes::ExitCodes;
pub use unready::Unready;
#[cfg(feature = "systemd")]
pub(crate) use unready::in_a_line;

/// How one service ended.
#[derive(Debug)]
pub enum Outcome {
    /// It returned `Ok`, and all of its connections are closed.
    Finished,
    /// It returned this error.
    Failed(BoxError),
    /// It panicked with this message.
    Panicked(String),
    /// It, or some of its connections, missed its time.
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
    /// The number of its stage, from 0.
    pub stage: usize,
    /// How long after the cause it was told to stop; `None` if it had ended before.
    pub told: Option<Duration>,
    /// How it ended.
    pub outcome: Outcome,
    /// What it has done.
    pub counts: Counts,
    pub(crate) spans: Spans,
}

/// A connection, a task or a service that missed its time, or was left behind by an abort.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Straggler {
    /// The service that it is, or belongs to.
    pub service: String,
    /// The connection, if it is one.
    pub connection: Option<ConnectionStatus>,
    /// The tasks of one name, if it is these. With neither it is the service itself that had not returned.
    pub tasks: Option<TaskStatus>,
}

impl Straggler {
    /// Logs it behind some words, with what is known of it as fields.
    pub(crate) fn log(&self, level: Level, words: &str) {
        let service = self.service.as_str();
        match &self.connection {
            None => log!(target: LOG, level, service; "{words} {self}"),
            Some(ConnectionStatus {
                peer,
                state,
                age,
                in_state,
                request,
                received,
                sent,
                waits_for,
                client: _,
            }) => log!(
                target: LOG, level,
                service, peer:%, state:%, age_ms = age.as_millis() as u64,
                in_state_ms = in_state.as_millis() as u64, request, received, sent, waits_for:%;
                "{words} {self}"
            ),
        }
    }
}

impl fmt::Display for Straggler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.connection, &self.tasks) {
            (Some(connection), _) => write!(f, "{}: {connection}", self.service),
            (_, Some(tasks)) => write!(f, "{}: {tasks}", self.service),
            (None, None) => write!(f, "{}: still running", self.service),
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
    pub(crate) exit_codes: ExitCodes,
    pub(crate) ending: Ending,
}

impl Report {
    /// Whether it was a graceful bye: every service was ready in time, none failed, nothing was cut off,
    /// nobody aborted.
    pub fn is_graceful(&self) -> bool {
        self.aborted.is_none() && !self.has_failed() && self.stragglers.is_empty()
    }

    fn has_failed(&self) -> bool {
        let failed = self.services.iter().any(|service| service.outcome.is_failure());
        failed || matches!(self.cause, Cause::NotReady(_))
    }

    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&ServiceReport> {
        self.services.iter().find(|service| service.name == name)
    }

    /// The exit status: 128 + n when signal n aborted the wait, 1 when a service failed or panicked or
    /// was not ready in time, 124 (as of timeout(1)) when the deadline cut something off, else 0; or what
    /// [`Supervisor::exit_codes`](crate::Supervisor::exit_codes) has set instead.
    pub fn exit_status(&self) -> u8 {
        match self.aborted {
            Some(signal) => self.exit_codes.of_abort(signal as i32),
            None if self.has_failed() => self.exit_codes.failed,
            None if !self.stragglers.is_empty() => self.exit_codes.cut_off,
            None => self.exit_codes.graceful,
        }
    }

    /// Logs how it ended, and "a graceful bye" only if it was one.
    pub(crate) fn log(&self) {
        debug!(target: LOG, "{self}");
        let left = self.stragglers.len();
        let (level, words) = match self.aborted {
            Some(signal) => (Level::Error, Aborted { signal, cause: &self.cause }.to_string()),
            None if self.is_graceful() => (Level::Info, "a graceful bye".to_owned()),
            None if left == 0 => {
                (Level::Error, "shut down, but not every service was well".to_owned())
            }
            None => (Level::Error, format!("the deadline passed with {left} left")),
        };
        let took_ms = self.took.as_millis() as u64;
        log!(target: LOG, level, cause:% = self.cause, took_ms, left; "{words}");
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
                accepted,
                refused,
                dropped,
                requests,
                drained,
                closed_idle,
                cut_off,
                panicked,
                restarted,
                blocked,
                ..
            } = &service.counts;
            write!(f, "\n{}: {}", service.name, service.outcome)?;
            write!(f, "; {accepted} accepted, {requests} requests, {drained} drained")?;
            write!(f, ", {closed_idle} closed idle, {cut_off} cut off, {panicked} panicked")?;
            if *refused > 0 {
                write!(f, ", {refused} refused")?;
            }
            if *dropped > 0 {
                write!(f, ", {dropped} handlers dropped for clients that were gone")?;
            }
            if *restarted > 0 {
                write!(f, ", {restarted} restarts")?;
            }
            if *blocked > 0 {
                write!(f, ", {blocked} times blocked the thread")?;
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
