//! The line of the access log, the same on every engine.

use std::fmt::Display;
use std::time::Duration;

use log::{Level, debug, log_enabled};

use crate::server::Connection;
use crate::words::printable;

/// The log target of the access log; at level debug, so that nobody has it by accident.
const ACCESS: &str = "adieu::access";

/// Whether anybody wants the line.
pub(crate) fn is_logged() -> bool {
    log_enabled!(target: ACCESS, Level::Debug)
}

/// Counts a request that was answered in full, and logs it.
#[cfg(feature = "hyper")]
pub(crate) fn count_answer(
    connection: &Connection,
    request: impl Display,
    status: u16,
    sent: u64,
    took: Duration,
) {
    connection.count_answer(status, took);
    if is_logged() {
        log_access(connection, request, status, sent, took);
    }
}

/// Writes the line of an answer. `sent`: bytes of its content. `took`: since the request's head had arrived.
pub(crate) fn log_access(
    connection: &Connection,
    request: impl Display,
    status: u16,
    sent: u64,
    took: Duration,
) {
    let (name, peer) = (connection.context().name(), connection.peer());
    let took_ms = took.as_secs_f64() * 1e3;
    // An engine may have let in what could confuse a terminal; it was refused then, which is logged too.
    let request = printable(&request.to_string());
    debug!(
        target: ACCESS, service = name, peer:%, request, status, sent, took_ms;
        "{name} {peer} \"{request}\" {status} {sent} B {took:.1?}"
    );
}
