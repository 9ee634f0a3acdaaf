//! Why a run comes to its end.

use std::fmt;

use async_signal::Signal;

use crate::words::SignalName;

/// Why shutdown began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The process was asked to end.
    Signal(Signal),
    /// A [`Trigger`](crate::Trigger) asked.
    Trigger,
    /// This service returned an error or panicked.
    Failed(String),
    /// Every service of the first stage came to its end by itself.
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
