//! The head of an answer made fit to be sent, and its content held to what the head says.

use std::time::SystemTime;

use ::hyper::body::{Body, Buf, Frame};
use ::hyper::header::{CONTENT_LENGTH, DATE, HeaderValue, UPGRADE};
use ::hyper::{Method, Request, Response, StatusCode, Version};
use log::error;

use super::fault::HyperError;
use crate::web::{self, AnswerFields, DateLine, End, Form};
use crate::words::LOG;

/// What the form of an answer depends on in its request.
pub(super) struct RequestForm {
    version: web::Version,
    to_head: bool,
    /// The client asks to change the protocol.
    upgrade: bool,
}

impl RequestForm {
    /// That of a request over HTTP/2 of which no more is known.
    pub(super) const HTTP2: RequestForm =
        RequestForm { version: web::Version::Http2, to_head: false, upgrade: false };

    pub(super) fn of<B>(request: &Request<B>) -> RequestForm {
        let version = match request.version() {
            Version::HTTP_2 => web::Version::Http2,
            Version::HTTP_11 => web::Version::Http11,
            _ => web::Version::Http10,
        };
        let upgrade = version == web::Version::Http11 && request.headers().contains_key(UPGRADE);
        RequestForm { version, to_head: request.method() == Method::HEAD, upgrade }
    }

    pub(super) fn is_http2(&self) -> bool {
        self.version == web::Version::Http2
    }

    fn of_answer<B: Body>(&self, response: &Response<Option<B>>) -> Form {
        let body = response.body().as_ref().map_or(Some(0), |body| body.size_hint().exact());
        Form::new(self.version, response.status().as_u16(), self.to_head, body, true)
    }

    /// The fields of an answer of the server itself.
    pub(super) fn own<B: Body>(&self, response: &Response<Option<B>>) -> AnswerFields {
        self.of_answer(response).plain()
    }

    /// The fields of a service's answer, if it can be sent as a final one; if not, why.
    pub(super) fn judge<B: Body>(
        &self,
        response: &Response<Option<B>>,
    ) -> Result<AnswerFields, String> {
        let status = response.status();
        let switches = status == StatusCode::SWITCHING_PROTOCOLS && self.upgrade;
        if status.is_informational() && !switches {
            return Err(format!("status {status} is not an answer to this request"));
        }
        let said = response.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        self.of_answer(response).judge(said).map_err(|field| field.to_string())
    }

    /// Puts the head right, but for the `connection` field. Takes the body away where no content follows.
    pub(super) fn prepare<B: Body>(
        &self,
        response: &mut Response<Option<B>>,
        fields: &AnswerFields,
        date: &DateLine<HeaderValue>,
    ) {
        let has_content = fields.end() != End::Head;
        let headers = response.headers_mut();
        let is_said = headers.contains_key(CONTENT_LENGTH);
        for name in fields.dropped() {
            headers.remove(name);
        }
        // Over HTTP/1.1 hyper says the length of a body that is there by itself.
        let is_ours = is_said || self.to_head || self.is_http2();
        match fields.content_length() {
            Some(length) if is_ours && (is_said || length > 0 || !has_content) => {
                headers.insert(CONTENT_LENGTH, length.into());
            }
            _ => {}
        }
        if self.is_http2() && !headers.contains_key(DATE) {
            // hyper adds it over HTTP/1.1.
            headers.insert(DATE, date.now(date_value));
        }
        response.body_mut().take_if(|body| !has_content || body.is_end_stream());
    }
}

/// What is still to come of an answer's content, where it is known how long it is.
pub(super) struct Rest(Option<u64>);

impl Rest {
    pub(super) fn of(fields: &AnswerFields) -> Rest {
        Rest(match fields.end() {
            End::Head => Some(0),
            End::Length(length) => Some(length),
            End::Chunks | End::Stream | End::Close => None,
        })
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.0 == Some(0)
    }

    pub(super) fn is_unknown(&self) -> bool {
        self.0.is_none()
    }

    /// Takes the next frame of the content of an answer of the service `name`, behind which there is no
    /// more if `is_end`. Tells whether it is the last. After an error, which is logged, the answer must
    /// not look whole.
    pub(super) fn take<D: Buf, E: Into<HyperError>>(
        &mut self,
        frame: Option<Result<Frame<D>, E>>,
        is_end: bool,
        name: &str,
    ) -> Result<(Option<Frame<D>>, bool), HyperError> {
        let taken = frame.transpose().map_err(Into::into).and_then(|frame| {
            let length = frame.as_ref().and_then(Frame::data_ref).map_or(0, Buf::remaining);
            let ends = is_end || frame.as_ref().is_none_or(Frame::is_trailers);
            if let Some(rest) = &mut self.0 {
                let less = rest.checked_sub(length as u64);
                *rest = less.ok_or("it is longer than its head says")?;
                if ends && *rest > 0 {
                    return Err("it is shorter than its head says".into());
                }
            }
            Ok((frame, ends))
        });
        taken.inspect_err(|error| {
            error!(target: LOG, service = name, error:%; "{name}: an answer's body failed: {error}");
        })
    }
}

pub(super) fn date_value(now: SystemTime) -> HeaderValue {
    HeaderValue::from_str(&httpdate::fmt_http_date(now)).expect("a date is plain text")
}
