//! The line of the access log, the same on every engine.

use std::fmt::Display;
use std::time::Duration;

use log::{Level, debug, log_enabled};

use crate::server::Connection;

/// The log target of the access log; at level debug, so that nobody has it by accident.
const ACCESS: &str = "adieu::access";

/// What the log tells of an answer.
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// Bytes of its content.
    pub(crate) sent: u64,
    /// Since the request's head had arrived.
    pub(crate) took: Duration,
}

/// Whether anybody wants the line.
pub(crate) fn is_logged() -> bool {
    log_enabled!(target: ACCESS, Level::Debug)
}

/// Writes the line of an answer.
pub(crate) fn log_access(connection: &Connection, request: impl Display, answered: Answered) {
    let (name, peer) = (connection.context().name(), connection.peer());
    let Answered { status, sent, took } = answered;
    let took_ms = took.as_secs_f64() * 1e3;
    debug!(
        target: ACCESS, service = name, peer:%, request:%, status, sent, took_ms;
        "{name} {peer} \"{request}\" {status} {sent} B {took:.1?}"
    );
}
