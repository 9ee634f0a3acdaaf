//! An answer's head as the engine has encoded it, put right where the engine is wrong.

use http_types::StatusCode;
use http_types::headers::{CONTENT_LENGTH, TRANSFER_ENCODING};

use crate::web::{AnswerFields, End};

/// The reason phrase of a status, as IANA's registry of HTTP status codes has it.
pub(super) fn reason(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NonAuthoritativeInformation => "Non-Authoritative Information",
        StatusCode::ImUsed => "IM Used",
        StatusCode::MultipleChoice => "Multiple Choices",
        StatusCode::NotModified => "Not Modified",
        StatusCode::PayloadTooLarge => "Content Too Large",
        StatusCode::RequestedRangeNotSatisfiable => "Range Not Satisfiable",
        StatusCode::UnprocessableEntity => "Unprocessable Content",
        _ => status.canonical_reason(),
    }
}

/// Corrects the head that begins at `start`, whose framing line tells of a body of this length, or of
/// chunks.
pub(super) fn correct(
    out: &mut Vec<u8>,
    start: usize,
    status: StatusCode,
    length: Option<usize>,
    fields: &AnswerFields,
) {
    let (encoded, right) = (status.canonical_reason(), reason(status));
    if encoded != right {
        let at = start + "HTTP/1.1 200 ".len();
        out.splice(at..at + encoded.len(), right.bytes());
    }
    let is_right = match length {
        Some(length) => fields.content_length() == Some(length as u64),
        None => fields.end() == End::Chunks,
    };
    if !is_right {
        replace_framing(out, start, fields.content_length());
    }
}

/// Puts a line with this length, or none, in place of the framing line.
fn replace_framing(out: &mut Vec<u8>, start: usize, length: Option<u64>) {
    let find = |out: &[u8], from: usize, what: &[u8]| {
        out[from..].windows(what.len()).position(|window| window == what).map(|at| from + at)
    };
    for name in [CONTENT_LENGTH.as_str(), TRANSFER_ENCODING.as_str()] {
        let Some(line) = find(out, start, format!("\r\n{name}: ").as_bytes()) else {
            continue;
        };
        if let Some(end) = find(out, line + 2, b"\r\n") {
            let right = length.map(|length| format!("\r\n{CONTENT_LENGTH}: {length}"));
            out.splice(line..end, right.unwrap_or_default().into_bytes());
        }
    }
}
