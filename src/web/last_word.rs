//! The last word at the deadline.

/// After how many seconds a client may ask again: by then another instance should have its place.
pub(crate) const RETRY_AFTER: &str = "1";

/// What a client of HTTP/1.1 is told of whose answer nothing has been sent. It has no content, so that it is a
/// whole answer to HEAD too. `date`: as the field has it.
#[cfg(feature = "hyper")]
pub(crate) fn last_word(date: &str) -> String {
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ndate: {date}\r\nretry-after: {RETRY_AFTER}\r\n\
         content-length: 0\r\nconnection: close\r\n\r\n"
    )
}
