//! Who holds readiness back, and why.

use std::fmt;

use crate::words::printable;

/// A service that is not ready, and why: it holds a [`NotReady`](crate::NotReady).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unready {
    /// The name of the service.
    pub service: String,
    /// The reason that it gives; may be empty.
    pub reason: String,
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason.as_str() {
            "" => write!(f, "{}: not ready", self.service),
            reason => write!(f, "{}: {}", self.service, printable(reason)),
        }
    }
}

/// All of them in one line.
pub(crate) fn in_a_line(held: &[Unready]) -> String {
    held.iter().map(Unready::to_string).collect::<Vec<_>>().join(", ")
}
