//! A response made fit to be sent: what the engine does not check is checked before it encodes.

use futures_lite::AsyncReadExt;
use futures_lite::io::Take;
use http_types::headers::{CONNECTION, CONTENT_TYPE, DATE, HeaderValue};
use http_types::other::Date;
use http_types::{Body, Method, Response, StatusCode};

use super::encoded_head::reason;
use super::guard::{Head, Refusal};
use crate::shutdown::Shutdown;
use crate::web::{
    AnswerFields, DateLine, End, Form, UntilShutdown, Version, is_event_stream, is_token,
};

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

/// A response that is fit to be sent, and the fields that are the server's to decide.
#[derive(Debug)]
pub(super) struct Fit {
    pub(super) response: Response,
    pub(super) fields: AnswerFields,
}

impl Fit {
    /// An answer of the server itself.
    pub(super) fn own(response: Response, request: RequestForm) -> Fit {
        let fields = form(&response, request).plain();
        Fit { response, fields }
    }

    /// A handler's answer, if it can be sent as a final one; if not, why. `upgrade`: the client asks to
    /// change the protocol.
    pub(super) fn check(
        response: Response,
        request: RequestForm,
        upgrade: bool,
    ) -> Result<Fit, String> {
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
        let said = response.iter().flat_map(|(name, values)| {
            values.iter().map(|value| (name.as_str(), value.as_str().as_bytes()))
        });
        let fields = form(&response, request).judge(said).map_err(|field| field.to_string())?;
        Ok(Fit { response, fields })
    }

    /// Has a stream of events end with the shutdown.
    pub(super) fn end_events_with(&mut self, shutdown: &Shutdown) {
        let Fit { response, fields } = self;
        let is_endless =
            matches!(fields.end(), End::Chunks | End::Close) && response.len().is_none();
        let kind = response.header(CONTENT_TYPE).map(|values| values.last().as_str().as_bytes());
        if is_endless && kind.is_some_and(is_event_stream) {
            let events = UntilShutdown::new(response.take_body(), shutdown);
            response.set_body(Body::from_reader(events, None));
        }
    }

    /// Puts the headers right that are the server's to decide. Returns the body if it is to be sent as it
    /// is; otherwise it is the encoder's.
    pub(super) fn prepare(
        &mut self,
        keep_alive: bool,
        date: &DateLine<HeaderValue>,
    ) -> Option<Take<Body>> {
        let Fit { response, fields } = self;
        for name in fields.dropped() {
            response.remove_header(name);
        }
        if response.header(DATE).is_none() {
            response.insert_header(DATE, date.now(|now| Date::new(now).value()));
        }
        if let Some(options) = fields.connection(keep_alive) {
            response.insert_header(CONNECTION, options);
        }
        match fields.end() {
            // The encoder would send it in chunks.
            End::Length(length) if response.len().is_none() => {
                Some(take_body(response).take(length))
            }
            End::Close => Some(take_body(response).take(u64::MAX)),
            _ => None,
        }
    }
}

fn form(response: &Response, request: RequestForm) -> Form {
    let version = if request.http_1_0 { Version::Http10 } else { Version::Http11 };
    let to_head = request.method == Method::Head;
    let body = response.len().map(|length| length as u64);
    // The encoder knows no trailers.
    Form::new(version, response.status() as u16, to_head, body, false)
}

/// Takes the body. http-types makes up a content type for the empty one that is left behind.
fn take_body(response: &mut Response) -> Body {
    let has_type = response.header(CONTENT_TYPE).is_some();
    let body = response.take_body();
    if !has_type {
        response.remove_header(CONTENT_TYPE);
    }
    body
}
