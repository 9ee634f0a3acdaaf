//! A request answered: by the service, or in its stead; and the head of the answer made fit to be sent.

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::time::{SystemTime, UNIX_EPOCH};

use ::hyper::body::{Body, Buf, Frame};
use ::hyper::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, DATE, HeaderMap, HeaderName, HeaderValue,
};
use ::hyper::service::Service;
use ::hyper::{Method, Request, Response, StatusCode, Version};
use futures_lite::FutureExt;
use log::{debug, error};

use super::body::{Fault, RequestBody, Upload};
use super::{HyperError, request};
use crate::connection::Connection;
use crate::report::panic_message;

/// Who asked, as far as the form of the answer depends on it.
pub(super) struct Asker {
    method: Method,
    version: Version,
    is_grpc: bool,
}

impl Asker {
    fn of<B>(request: &Request<B>) -> Asker {
        let (method, version) = (request.method().clone(), request.version());
        Asker { method, version, is_grpc: is_grpc(request.headers()) }
    }

    /// An answer that the service does not give, in words that the client understands.
    fn refusal<B>(&self, status: StatusCode) -> Response<Option<B>> {
        #[cfg(feature = "grpc")]
        if self.is_grpc {
            return grpc_status(status).into_http();
        }
        let _ = self.is_grpc;
        let mut response = Response::new(None);
        *response.status_mut() = status;
        if status.is_client_error() && self.version != Version::HTTP_2 {
            // What comes behind a request that was not understood may be part of it.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            // RFC 9110, 15.5.6: a 405 must tell what is allowed.
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(ALLOWED));
        }
        response
    }
}

/// What goes to the service; it may allow less.
const ALLOWED: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH";

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(::hyper::header::CONTENT_TYPE);
    cfg!(feature = "grpc") && kind.is_some_and(|it| it.as_bytes().starts_with(b"application/grpc"))
}

#[cfg(feature = "grpc")]
fn grpc_status(status: StatusCode) -> tonic::Status {
    let words = status.canonical_reason().unwrap_or_default();
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => tonic::Status::resource_exhausted(words),
        StatusCode::REQUEST_TIMEOUT => tonic::Status::deadline_exceeded(words),
        StatusCode::METHOD_NOT_ALLOWED => tonic::Status::unimplemented(words),
        _ => tonic::Status::internal(words),
    }
}

/// A service whose futures, bodies and errors the engines take.
pub(super) trait Answers:
    Service<
        Request<RequestBody>,
        Response = Response<Self::Content>,
        Future: 'static,
        Error: Into<HyperError>,
    > + 'static
{
    type Content: Body<Error: Into<HyperError>> + 'static;
}

impl<S, B> Answers for S
where
    S: Service<Request<RequestBody>, Response = Response<B>> + 'static,
    S::Future: 'static,
    S::Error: Into<HyperError>,
    B: Body + 'static,
    B::Error: Into<HyperError>,
{
    type Content = B;
}

/// Has the service answer; or answers in its stead, where it must not be asked, has panicked, or has
/// met a body that keeps to no limit. The response has no body where no content is to be sent.
pub(super) async fn ask<S: Answers>(
    service: &S,
    request: Request<RequestBody>,
    upload: &Upload,
    connection: &Connection,
    date: &DateLine,
) -> Result<Response<Option<S::Content>>, S::Error> {
    let asker = Asker::of(&request);
    let name = connection.context().name();
    let refused = upload.fault().map(Fault::status).map_or(request::check(&request), Err);
    let mut response = match refused {
        Err(status) => {
            debug!("{name}: {}: refused with {status}", connection.peer());
            asker.refusal(status)
        }
        Ok(()) => {
            // Inside the guard even when it is called: a service need not be an async fn.
            let answering = async { service.call(request).await };
            let answered = AssertUnwindSafe(answering).catch_unwind().await;
            match (answered, upload.fault()) {
                (Ok(_), Some(fault)) => {
                    let status = fault.status();
                    debug!("{name}: {}: refused with {status}", connection.peer());
                    asker.refusal(status)
                }
                (Ok(response), None) => response?.map(Some),
                (Err(panic), _) => {
                    connection.count_panic();
                    error!("{name}: the service panicked: {}", panic_message(&*panic));
                    asker.refusal(StatusCode::INTERNAL_SERVER_ERROR)
                }
            }
        }
    };
    if !is_final(response.status(), &asker) {
        error!("{name}: {} is no answer to a request", response.status());
        response = asker.refusal(StatusCode::INTERNAL_SERVER_ERROR);
    }
    fit(&mut response, &asker, date);
    Ok(response)
}

/// Whether a status ends an exchange. HTTP/2 has no upgrade (RFC 9113, 8.6).
fn is_final(status: StatusCode, asker: &Asker) -> bool {
    let upgrades = status == StatusCode::SWITCHING_PROTOCOLS && asker.version == Version::HTTP_11;
    upgrades || !status.is_informational()
}

/// Makes the head fit: what is for one connection only, and how the content is framed, are the server's
/// to say. Takes the body away where no content follows.
fn fit<B: Body>(response: &mut Response<Option<B>>, asker: &Asker, date: &DateLine) {
    let is_http2 = asker.version == Version::HTTP_2;
    let status = response.status();
    let length = response.body().as_ref().map_or(Some(0), |body| body.size_hint().exact());
    let headers = response.headers_mut();
    remove_hop_by_hop(headers, is_http2);
    let is_head = asker.method == Method::HEAD;
    let is_told = headers.contains_key(CONTENT_LENGTH);
    match length {
        // RFC 9110, 8.6: it must not say how long it is.
        _ if status.is_informational() || status == StatusCode::NO_CONTENT => {
            headers.remove(CONTENT_LENGTH);
        }
        // The length is that of the answer to a GET, if the service knows it.
        _ if status == StatusCode::NOT_MODIFIED || (is_head && is_told) => {}
        // hyper says it by itself over HTTP/1.1, unless there is no content to go by.
        Some(length) if is_told || (length > 0 && (is_http2 || is_head)) => {
            let length = if has_no_content(status) { 0 } else { length };
            headers.insert(CONTENT_LENGTH, length.into());
        }
        // One length at most, to which the content is held.
        None if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() => {
            headers.remove(CONTENT_LENGTH);
        }
        _ => {}
    }
    if is_http2 && !headers.contains_key(DATE) {
        headers.insert(DATE, date.now()); // hyper adds it over HTTP/1.1
    }
    let has_content = !is_head && !has_no_content(status);
    response.body_mut().take_if(|body| !has_content || body.is_end_stream());
}

/// How long the content of a message is, as its head says it.
pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What is still to come of an answer's content, where it is known how long it is.
pub(super) struct Rest(Option<u64>);

impl Rest {
    pub(super) fn of<B: Body>(headers: &HeaderMap, body: Option<&B>) -> Rest {
        Rest(length(headers).or_else(|| body?.size_hint().exact()))
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.0 == Some(0)
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
        taken.inspect_err(|error| error!("{name}: an answer's body failed: {error}"))
    }
}

/// Statuses whose answers end with the head (RFC 9112, 6.3), and 205, which has nothing to say.
fn has_no_content(status: StatusCode) -> bool {
    use StatusCode as S;
    status.is_informational()
        || [S::NO_CONTENT, S::NOT_MODIFIED, S::RESET_CONTENT].contains(&status)
}

/// Takes away what is for one connection only (RFC 9110, 7.6.1). In HTTP/1.1 a service may still ask for
/// `Connection: close`, and answer an upgrade.
fn remove_hop_by_hop(headers: &mut HeaderMap, is_http2: bool) {
    let is_own = |name: &HeaderName| match name.as_str() {
        "transfer-encoding" | "keep-alive" | "proxy-connection" | "te" => true,
        "connection" | "upgrade" => is_http2,
        _ => false,
    };
    let mut names: Vec<HeaderName> = headers.keys().filter(|name| is_own(name)).cloned().collect();
    if is_http2 {
        let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
        let named = values.flat_map(|value| value.split(','));
        names.extend(named.filter_map(|name| name.trim().parse().ok()));
    }
    names.into_iter().for_each(|name| drop(headers.remove(name)));
}

/// The value of the Date header, made anew once a second.
#[derive(Default)]
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
        let made = || HeaderValue::from_str(&httpdate::fmt_http_date(now));
        value.get_or_insert_with(|| made().expect("a date is plain text")).clone()
    }
}
