//! What may come in masses is counted each time, and said at most once a second for each service.

use std::fmt;

use log::warn;

use crate::service::Context;
use crate::words::LOG;

pub(super) const TOO_MANY: &str = "has too many connections";

/// Counts a connection that is closed without being served, and says why.
pub(super) fn refuse(cx: &Context, why: fmt::Arguments<'_>) {
    cx.register().count(|counts| counts.refused += 1);
    warn_seldom(cx, format_args!("refused: {why}"));
}

/// Warns, at most once a second.
pub(super) fn warn_seldom(cx: &Context, what: fmt::Arguments<'_>) {
    if cx.register().may_warn() {
        warn!(target: LOG, service = cx.name(); "{}: {what}", cx.name());
    }
}
