//! Why a run comes to its end.

use std::fmt;

use async_signal::Signal;

use super::unready::{Unready, in_a_line};
use crate::words::SignalName;

/// Why shutdown began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The process was asked to end.
    Signal(Signal),
    /// A [`Trigger`](crate::Trigger) asked, or a service ([`Context::shut_down`](crate::Context::shut_down)).
    Trigger,
    /// This service returned an error or panicked.
    Failed(String),
    /// This [main service](crate::Supervisor::main) returned `Ok`.
    MainEnded(String),
    /// These services held readiness back for [too long](crate::Supervisor::ready_within) at the start.
    NotReady(Vec<Unready>),
    /// Nobody was connected for [so long](crate::Supervisor::exit_when_idle).
    Idle,
    /// Every service of the first stage came to its end by itself.
    AllFinished,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Signal(signal) => SignalName(*signal).fmt(f),
            Cause::Trigger => f.write_str("a trigger"),
            Cause::Failed(service) => write!(f, "the failure of {service}"),
            Cause::MainEnded(service) => write!(f, "the end of {service}"),
            Cause::NotReady(held) => {
                write!(f, "not being ready in time ({})", in_a_line(held))
            }
            Cause::Idle => f.write_str("idleness"),
            Cause::AllFinished => f.write_str("the end of all services"),
        }
    }
}
