//! A request that the guard answers instead of the handler.

use http_types::StatusCode;

/// A request that is answered by the guard, and why. The connection closes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub(in crate::http) status: StatusCode,
    pub(in crate::http) reason: &'static str,
}

pub(in crate::http) const fn refuse(status: StatusCode, reason: &'static str) -> Refusal {
    Refusal { status, reason }
}

pub(super) const fn bad(reason: &'static str) -> Refusal {
    refuse(StatusCode::BadRequest, reason)
}
