//! The process layer: the only part of the library that touches the process as a whole.
//!
//! `signal.rs` makes a stream of the signals that ask a process to end, `requests.rs` knows which of them ask
//! for something new. `watchdog.rs` keeps, inside the
//! signal handler, the promises that must hold even when the one thread is stuck. `exit.rs` turns what
//! a run has come to into the exit code.

mod exit;
mod requests;
mod signal;
mod terms;
mod watchdog;

pub use exit::exit;
pub(crate) use requests::Requests;
pub use signal::{Hangup, Signal, SignalSource, Signals, signals};
pub use terms::Terms;
