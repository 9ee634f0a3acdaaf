//! A response made fit to be sent: what the encoder would get wrong is put right before it
//! encodes, and what it always adds is taken away behind it.

use std::cell::{Cell, RefCell};
use std::time::{SystemTime, UNIX_EPOCH};

use http_types::headers::{CONNECTION, CONTENT_LENGTH, DATE, HeaderValue, TRANSFER_ENCODING};
use http_types::other::Date;
use http_types::{Body, Method, Response, StatusCode};

use super::head::{Refusal, is_token, tokens};

/// Who asked, as far as the form of the answer depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    pub(super) method: Method,
    pub(super) http_1_0: bool,
}

impl Asker {
    /// Whoever sent what could not be understood. It is answered like a GET.
    pub(super) const UNKNOWN: Asker = Asker { method: Method::Get, http_1_0: false };
}

/// What is sent after the head.
#[derive(Debug)]
pub(super) enum Sending {
    /// Nothing.
    Nothing,
    /// So many bytes, from the encoder.
    Exactly(usize),
    /// Chunks, from the encoder.
    Chunks,
    /// A body of unknown length to a client that knows no chunks: sent as it is, ended by the close.
    UntilClose(Body),
}

/// A short answer in text; where there is none, the status speaks for itself.
pub(super) fn plain(status: StatusCode, text: &str) -> Response {
    let mut response = Response::new(status);
    let text = if text.is_empty() { status.canonical_reason() } else { text };
    response.set_body(format!("{text}\n"));
    response
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Response {
        let mut response = plain(refusal.status, refusal.reason);
        if refusal.status == StatusCode::MethodNotAllowed {
            // RFC 9110, 15.5.6: a 405 must tell what is allowed.
            response.insert_header("allow", ALLOWED);
        }
        response
    }
}

/// What the guard lets through of RFC 9110's methods, and PATCH. Handlers may allow less.
const ALLOWED: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH";

/// Whether the response can be sent as a final answer; if not, why.
pub(super) fn check(response: &Response, upgrade: bool) -> Result<(), String> {
    let status = response.status();
    if status.is_informational() {
        let switching = status == StatusCode::SwitchingProtocols;
        if !(switching && upgrade && response.has_upgrade()) {
            return Err(format!("status {status} is not an answer to this request"));
        }
    }
    for (name, values) in response.iter() {
        if !name.as_str().bytes().all(is_token) || name.as_str().is_empty() {
            return Err(format!("malformed header name {:?}", name.as_str()));
        }
        if values.iter().any(|value| {
            value.as_str().bytes().any(|byte| byte.is_ascii_control() && byte != b'\t')
        }) {
            return Err(format!("control characters in the value of {}", name.as_str()));
        }
    }
    Ok(())
}

/// Whether the handler wants the connection closed after this.
pub(super) fn says_close(response: &Response) -> bool {
    let Some(values) = response.header(CONNECTION) else {
        return false;
    };
    values
        .iter()
        .any(|value| tokens(value.as_str()).any(|token| token.eq_ignore_ascii_case("close")))
}

/// Puts the headers right that are the server's to decide, and tells what will follow the head.
pub(super) fn prepare(
    response: &mut Response,
    asker: Asker,
    keep_alive: bool,
    date: &DateLine,
) -> Sending {
    // Framing is the encoder's alone; a second opinion from the handler would be smuggling.
    response.remove_header(TRANSFER_ENCODING);
    if response.header(DATE).is_none() {
        response.insert_header(DATE, date.now());
    }
    let status = response.status();
    if status == StatusCode::SwitchingProtocols {
        return Sending::Nothing;
    }
    if !keep_alive {
        response.insert_header(CONNECTION, "close");
    } else if asker.http_1_0 {
        response.insert_header(CONNECTION, "keep-alive");
    }
    if has_no_content(status) {
        // The encoder would announce it, and a 205 must say that it is empty.
        response.take_body();
        return Sending::Nothing;
    }
    if asker.method == Method::Head {
        return Sending::Nothing;
    }
    match response.len() {
        Some(len) => Sending::Exactly(len),
        None if asker.http_1_0 => Sending::UntilClose(response.take_body()),
        None => Sending::Chunks,
    }
}

/// Statuses whose answers end with the head (RFC 9112, 6.3), and 205, which has nothing to say.
pub(super) fn has_no_content(status: StatusCode) -> bool {
    use StatusCode::{NoContent, NotModified, ResetContent};
    status.is_informational() || matches!(status, NoContent | NotModified | ResetContent)
}

/// Whether the encoder's framing line must go: the length of a body that is not sent, unless it
/// answers a HEAD and is the true length of what a GET would bring.
pub(super) fn strips_framing(response: &Response, asker: Asker) -> bool {
    let status = response.status();
    if has_no_content(status) {
        // RFC 9110, 15.4.6: a 205 does say how long its nothing is.
        return status != StatusCode::ResetContent;
    }
    asker.method == Method::Head && response.is_empty() != Some(false)
}

/// Takes the framing line out of the encoded head that begins at `start`.
pub(super) fn strip_framing(out: &mut Vec<u8>, start: usize) {
    let find = |out: &[u8], from: usize, what: &[u8]| {
        out[from..].windows(what.len()).position(|window| window == what).map(|at| from + at)
    };
    for name in [CONTENT_LENGTH.as_str(), TRANSFER_ENCODING.as_str()] {
        let Some(line) = find(out, start, format!("\r\n{name}: ").as_bytes()) else {
            continue;
        };
        if let Some(end) = find(out, line + 2, b"\r\n") {
            out.drain(line..end);
        }
    }
}

/// The value of the Date header, made anew once a second.
#[derive(Debug, Default)]
pub(super) struct DateLine {
    second: Cell<u64>,
    value: RefCell<Option<HeaderValue>>,
}

impl DateLine {
    fn now(&self) -> HeaderValue {
        let now = SystemTime::now();
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut value = self.value.borrow_mut();
        if self.second.replace(second) != second {
            *value = None;
        }
        value.get_or_insert_with(|| Date::new(now).value()).clone()
    }
}
