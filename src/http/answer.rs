//! A response made fit to be sent: what the encoder would get wrong is put right before it
//! encodes, and what it always adds is taken away after it.

use std::cell::{Cell, RefCell};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_lite::io;
use http_types::headers::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use http_types::other::Date;
use http_types::{Body, Method, Response, StatusCode};

use super::guard::{Head, Refusal};
use crate::web::{AnswerFields, Fate, is_token, tokens};

/// What the form of an answer depends on in its request.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestForm {
    pub(super) method: Method,
    pub(super) http_1_0: bool,
}

impl RequestForm {
    /// Of a request that could not be understood. It is answered like a GET.
    pub(super) const UNKNOWN: RequestForm = RequestForm { method: Method::Get, http_1_0: false };

    pub(super) fn of(head: &Head) -> RequestForm {
        RequestForm { method: head.method, http_1_0: head.http_1_0 }
    }
}

/// A response that passed the check.
#[derive(Default)]
pub(super) struct Checked {
    /// The handler wants the connection closed after it.
    pub(super) close: bool,
    /// The length that the handler gives for a body that is not sent.
    length: Option<usize>,
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

/// A short answer in text; where there is none, the reason for the status.
pub(super) fn plain(status: StatusCode, text: &str) -> Response {
    let mut response = Response::new(status);
    let text = if text.is_empty() { reason(status) } else { text };
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

/// Whether the response can be sent as a final answer; if not, why. Fields that are the server's to decide
/// are taken out.
pub(super) fn check(
    response: &mut Response,
    form: RequestForm,
    upgrade: bool,
) -> Result<Checked, String> {
    let status = response.status();
    if status.is_informational() {
        let switching = status == StatusCode::SwitchingProtocols;
        if !(switching && upgrade && response.has_upgrade()) {
            return Err(format!("status {status} is not an answer to this request"));
        }
    }
    let length = response.len().map(|length| length as u64);
    let fields = AnswerFields::http1(status as u16, form.method == Method::Head, length);
    let mut dropped = Vec::new();
    let mut checked = Checked { close: false, length: None };
    for (name, values) in response.iter() {
        if !name.as_str().bytes().all(is_token) || name.as_str().is_empty() {
            return Err(format!("malformed header name {:?}", name.as_str()));
        }
        let values = || values.iter().map(HeaderValue::as_str);
        let is_control = |byte: u8| byte.is_ascii_control() && byte != b'\t';
        if values().any(|value| value.bytes().any(is_control)) {
            return Err(format!("control characters in the value of {}", name.as_str()));
        }
        if !AnswerFields::concerns(name.as_str()) {
            continue;
        }
        let fate = fields.judge(name.as_str(), values());
        match fate.map_err(|problem| format!("{}: {problem}", name.as_str()))? {
            Fate::Send if *name == CONTENT_LENGTH => {
                checked.length = values().next().and_then(|value| value.parse().ok());
            }
            Fate::Send => {}
            fate => {
                checked.close |= fate == Fate::Close;
                dropped.push(name.clone());
            }
        }
        if *name == CONNECTION {
            dropped.extend(
                values().flat_map(tokens).filter(|name| is_field(name)).map(HeaderName::from),
            );
        }
    }
    for name in dropped {
        response.remove_header(name);
    }
    Ok(checked)
}

/// Whether a connection option is the name of a field that belongs to that connection alone.
fn is_field(option: &str) -> bool {
    !["close", "keep-alive", "upgrade"].iter().any(|known| option.eq_ignore_ascii_case(known))
}

/// Puts the headers right that are the server's to decide, and tells what will follow the head.
pub(super) fn prepare(
    response: &mut Response,
    form: RequestForm,
    keep_alive: bool,
    date: &DateLine,
) -> Sending {
    if response.header(DATE).is_none() {
        response.insert_header(DATE, date.now());
    }
    let status = response.status();
    if status == StatusCode::SwitchingProtocols {
        return Sending::Nothing;
    }
    if !keep_alive {
        response.append_header(CONNECTION, "close");
    } else if form.http_1_0 {
        response.append_header(CONNECTION, "keep-alive");
    }
    if has_no_content(status) {
        // The encoder would announce it, and a 205 must say that it is empty.
        response.take_body();
        return Sending::Nothing;
    }
    if form.method == Method::Head {
        return Sending::Nothing;
    }
    match response.len() {
        Some(len) => Sending::Exactly(len),
        None if form.http_1_0 => Sending::UntilClose(response.take_body()),
        None => Sending::Chunks,
    }
}

/// Statuses whose answers end with the head (RFC 9112, 6.3), and 205, which has nothing to say.
fn has_no_content(status: StatusCode) -> bool {
    use StatusCode::{NoContent, NotModified, ResetContent};
    status.is_informational() || matches!(status, NoContent | NotModified | ResetContent)
}

/// What has to be put right in the head that the encoder makes.
pub(super) struct Corrections {
    status: StatusCode,
    /// The handler has said what type the content has.
    has_type: bool,
    strips_framing: bool,
}

impl Corrections {
    /// To be asked before [`prepare`]: afterwards the body may be gone.
    ///
    /// The encoder's framing line must go if it is the length of a body that is not sent; unless it
    /// answers a HEAD, or is a 304, and is the true length of what a GET would bring.
    pub(super) fn of(response: &Response, form: RequestForm) -> Corrections {
        let status = response.status();
        let strips_framing = match has_no_content(status) {
            // RFC 9110, 15.4.6: a 205 does say how long its nothing is.
            true => status != StatusCode::ResetContent,
            false if form.method == Method::Head => response.is_empty() != Some(false),
            false => response.len().is_none() && form.http_1_0,
        };
        let has_type = response.header(CONTENT_TYPE).is_some();
        Corrections { status, has_type, strips_framing }
    }

    /// To be called after [`prepare`]: has the encoder announce the length that the handler gave for a body
    /// that is not sent, and no type that http-types gives to one.
    pub(super) fn announce(&mut self, response: &mut Response, checked: &Checked) {
        if let Some(length) = checked.length {
            response.set_body(Body::from_reader(io::BufReader::new(io::empty()), Some(length)));
            self.strips_framing = false;
        }
        if !self.has_type {
            response.remove_header(CONTENT_TYPE);
        }
    }

    /// Corrects the encoded head that begins at `start`.
    pub(super) fn make(&self, out: &mut Vec<u8>, start: usize) {
        let (wrong, right) = (self.status.canonical_reason(), reason(self.status));
        if wrong != right {
            let from = start + "HTTP/1.1 200 ".len();
            out.splice(from..from + wrong.len(), right.bytes());
        }
        if self.strips_framing {
            strip_framing(out, start);
        }
    }
}

/// The reason for a status as the IANA registry has it, where http-types has another.
fn reason(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NonAuthoritativeInformation => "Non-Authoritative Information",
        StatusCode::ImUsed => "IM Used",
        StatusCode::MultipleChoice => "Multiple Choices",
        StatusCode::NotModified => "Not Modified",
        StatusCode::PayloadTooLarge => "Content Too Large",
        StatusCode::RequestedRangeNotSatisfiable => "Range Not Satisfiable",
        StatusCode::UnprocessableEntity => "Unprocessable Content",
        other => other.canonical_reason(),
    }
}

fn strip_framing(out: &mut Vec<u8>, start: usize) {
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
