//! A request answered: by the service, or in its stead.

use std::panic::AssertUnwindSafe;

use ::hyper::body::Body;
use ::hyper::header::{ALLOW, CONNECTION, HeaderMap, HeaderValue, RETRY_AFTER};
use ::hyper::service::Service;
use ::hyper::{Request, Response, StatusCode};
use futures_lite::FutureExt;
use log::{debug, error};

use super::body::{RequestBody, Upload};
use super::fault::{Fault, HyperError};
use super::fit::RequestForm;
use super::request;
use super::settings::Hyper;
use crate::server::Connection;
use crate::web::{self, AnswerFields, DateLine};
use crate::words::{LOG, panic_message};

/// What goes to the service; it may allow less.
const ALLOWED: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH";

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

/// Who asked, as far as an answer that the service does not give depends on it.
struct Asker {
    form: RequestForm,
    is_grpc: bool,
}

impl Asker {
    fn of<B>(request: &Request<B>) -> Asker {
        Asker { form: RequestForm::of(request), is_grpc: is_grpc(request.headers()) }
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
        if status.is_client_error() && !self.form.is_http2() {
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

pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
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
        StatusCode::SERVICE_UNAVAILABLE => tonic::Status::unavailable(words),
        _ => tonic::Status::internal(words),
    }
}

/// The head of the answer to a request over HTTP/2 whose handler is out of time. It has no content.
pub(super) fn unavailable(is_grpc: bool, date: &DateLine<HeaderValue>) -> Response<()> {
    let form = RequestForm::HTTP2;
    let asker = Asker { form, is_grpc };
    let mut response: Response<Option<String>> = asker.refusal(StatusCode::SERVICE_UNAVAILABLE);
    if !is_grpc {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(web::RETRY_AFTER));
    }
    let fields = asker.form.own(&response);
    asker.form.prepare(&mut response, &fields, date);
    response.map(|_| ())
}

/// How a stream of messages ends that is not waited for any longer.
#[cfg(feature = "grpc")]
pub(crate) fn unavailable_trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let status = grpc_status(StatusCode::SERVICE_UNAVAILABLE);
    status.add_header(&mut trailers).expect("its words are plain text");
    trailers
}

/// An answer that is fit to be sent, with a body where content follows.
pub(super) struct Answer<B> {
    pub(super) response: Response<Option<B>>,
    pub(super) fields: AnswerFields,
}

/// Has the service answer; or answers in its stead, where it must not be asked, has panicked, has met a
/// body that keeps to no limit, or has said what is not true of its answer.
pub(super) async fn ask<S: Answers>(
    hyper: &Hyper<S>,
    request: Request<RequestBody>,
    upload: &Upload,
    connection: &Connection,
) -> Result<Answer<S::Content>, S::Error> {
    let asker = Asker::of(&request);
    let name = connection.context().name();
    let refuse = |status: StatusCode| {
        let peer = connection.peer();
        debug!(
            target: LOG, service = name, peer:%, status = status.as_u16();
            "{name}: {peer}: refused with {status}"
        );
        asker.refusal(status)
    };
    let refused = upload
        .fault()
        .map(Fault::status)
        .map_or_else(|| request::check(&request, &hyper.limits), Err);
    let mut response = match refused {
        Err(status) => refuse(status),
        Ok(()) => {
            // Inside the guard even when it is called: a service need not be an async fn.
            let answering = async { hyper.service.call(request).await };
            let answered = AssertUnwindSafe(answering).catch_unwind().await;
            match (answered, upload.fault()) {
                (Ok(_), Some(fault)) => refuse(fault.status()),
                (Ok(response), None) => response?.map(Some),
                (Err(panic), _) => {
                    connection.count_panic();
                    let message = panic_message(&*panic);
                    error!(
                        target: LOG, service = name, panic = message;
                        "{name}: the service panicked: {message}"
                    );
                    asker.refusal(StatusCode::INTERNAL_SERVER_ERROR)
                }
            }
        }
    };
    let fields = asker.form.judge(&response).unwrap_or_else(|fault| {
        error!(target: LOG, service = name; "{name}: the answer cannot be sent: {fault}");
        response = asker.refusal(StatusCode::INTERNAL_SERVER_ERROR);
        asker.form.own(&response)
    });
    asker.form.prepare(&mut response, &fields, &hyper.date);
    Ok(Answer { response, fields })
}
