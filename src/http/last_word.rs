//! The last word to a client whose request is cut off at the deadline.
//!
//! It is an answer like any other, but nobody waits for the client to take it: what the system does not take in the
//! connection's last turn is lost.

use http_types::{Response, StatusCode, headers};

use super::answer::plain;
use crate::web;

/// What a client is told of whose answer nothing was sent: this server cannot, another can.
pub(super) fn last_word() -> Response {
    let mut response = plain(StatusCode::ServiceUnavailable, "");
    response.insert_header(headers::RETRY_AFTER, web::RETRY_AFTER);
    response
}
