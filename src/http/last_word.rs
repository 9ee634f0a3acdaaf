//! The last word to a client whose request is cut off at the deadline.
//!
//! It is an answer like any other, but nobody waits for the client to take it: what the system does not take in the
//! connection's last turn is lost.

use http_types::headers::RETRY_AFTER;
use http_types::{Response, StatusCode};

use super::answer::plain;

/// When the client may ask again, in seconds (RFC 9110, 10.2.3): it will reach another process, or the next one here.
const RETRY: &str = "1";

/// What a client is told of whose answer nothing was sent: this server cannot, another can.
pub(super) fn last_word() -> Response {
    let mut response = plain(StatusCode::ServiceUnavailable, "");
    response.insert_header(RETRY_AFTER, RETRY);
    response
}
