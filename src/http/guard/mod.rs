//! The guard at the door: request heads after RFC 9112 and RFC 9110, strictly, and the framing of bodies.
//!
//! Pure: bytes become a [`Head`] or a [`Refusal`]. httparse splits the head, this file refuses what RFC 9112
//! lets a server refuse of its lines, `fields.rs` reads what they say, and `framing.rs` finds the end of a
//! body.

mod fields;
mod framing;
mod head;
mod refusal;

use std::mem::MaybeUninit;

use http_types::StatusCode;

use crate::web::Limits;
use fields::Fields;
pub use framing::Unframer;
pub use head::{Framing, Head};
pub use refusal::Refusal;
use refusal::bad;
pub(in crate::http) use refusal::refuse;

/// Reads one request head from the front of `bytes`. `None`: it has not all arrived yet.
pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Option<Head>, Refusal> {
    let most = limits.head_size.min(Limits::MAX_HEAD);
    let head = match complete_lines(bytes)? {
        Some(len) if len <= most => &bytes[..len],
        None if bytes.len() <= most => bytes,
        _ => return Err(too_long(&bytes[..most])),
    };
    let mut headers = [const { MaybeUninit::uninit() }; Limits::MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, &mut headers) {
        Ok(httparse::Status::Complete(len)) if request.headers.len() <= limits.headers => {
            Fields::read(&request)?.finish(len).map(Some)
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            Err(refuse(StatusCode::RequestHeaderFieldsTooLarge, "too many header lines"))
        }
        Err(httparse::Error::Version) => Err(wrong_version(head)),
        Err(error) => Err(bad(match error {
            httparse::Error::HeaderName => "malformed header name",
            httparse::Error::HeaderValue => "malformed header value",
            httparse::Error::NewLine => "malformed line ending",
            httparse::Error::Token => "malformed request line",
            _ => "malformed request head",
        })),
    }
}

/// The length of the head if its empty line has arrived. A line feed alone ends no line here
/// (RFC 9112, 2.2 lets a recipient refuse it), or two readers could see two different heads.
fn complete_lines(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    let mut line_start = 0;
    while let Some(at) = bytes[line_start..].iter().position(|&byte| byte == b'\n') {
        let end = line_start + at;
        if at == 0 || bytes[end - 1] != b'\r' {
            return Err(bad("a line must end in CR LF"));
        }
        if at == 1 {
            return Ok(Some(end + 1));
        }
        line_start = end + 1;
    }
    Ok(None)
}

fn too_long(start: &[u8]) -> Refusal {
    let line = start.split(|&byte| byte == b'\r').next().unwrap_or(start);
    if line.len() < start.len() {
        return refuse(StatusCode::RequestHeaderFieldsTooLarge, "request head too long");
    }
    match line.contains(&b' ') {
        true => refuse(StatusCode::UriTooLong, "request target too long"),
        false => bad("malformed request line"),
    }
}

/// 505 is for a version that is one, such as `HTTP/2.0`; the rest is malformed (RFC 9112, 2.3).
fn wrong_version(head: &[u8]) -> Refusal {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or(head);
    let mut words = line.split(|&byte| byte == b' ').skip(2);
    match (words.next(), words.next()) {
        (Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor]), None)
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            refuse(
                StatusCode::HttpVersionNotSupported,
                "only HTTP/1.1 and HTTP/1.0 are spoken here",
            )
        }
        _ => bad("malformed request line"),
    }
}
