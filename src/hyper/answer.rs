//! A request and its answer, watched to the end of its last byte.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use ::hyper::body::{Body, Frame, Incoming, SizeHint};
#[cfg(feature = "grpc")]
use ::hyper::header::CONTENT_TYPE;
use ::hyper::header::{CONNECTION, HeaderMap, HeaderValue};
use ::hyper::service::Service;
use ::hyper::{Request, Response, StatusCode};
use futures_lite::FutureExt;
use log::error;
use pin_project_lite::pin_project;

use super::Hyper;
use super::drive::Talk;
use crate::words::panic_message;

/// A request in flight: until it is dropped.
pub(super) struct Asked {
    talk: Rc<Talk>,
    began: Instant,
    status: Cell<StatusCode>,
    answered: Cell<bool>,
}

impl Asked {
    pub(super) fn new(talk: Rc<Talk>) -> Asked {
        let began = talk.connection.clock().now();
        Asked { talk, began, status: Cell::new(StatusCode::OK), answered: Cell::new(false) }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if self.answered.get() {
            let connection = &self.talk.connection;
            let took = connection.clock().now().saturating_duration_since(self.began);
            connection.count_answer(self.status.get().as_u16(), took);
        }
        self.talk.end();
    }
}

/// Has the service answer. A panic is answered too: with 500, or in gRPC's words.
pub(super) async fn watched<S, B>(
    hyper: Rc<Hyper<S>>,
    request: Request<Incoming>,
    asked: Asked,
) -> Result<Response<Answer<B>>, S::Error>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    B: Body,
{
    let apology = apology(request.headers());
    // Inside the guard even when it is called: a service need not be an async fn.
    let answering = async { hyper.service.call(request).await };
    match AssertUnwindSafe(answering).catch_unwind().await {
        Ok(answered) => {
            let mut response = answered?;
            if asked.talk.is_last() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            asked.status.set(response.status());
            Ok(response.map(|body| Answer { body: Some(body), asked }))
        }
        Err(panic) => {
            let connection = &asked.talk.connection;
            connection.count_panic();
            let name = connection.context().name();
            error!("{name}: the service panicked: {}", panic_message(&*panic));
            let response = apology();
            asked.status.set(response.status());
            Ok(response.map(|()| Answer { body: None, asked }))
        }
    }
}

/// What is answered after a panic, in words that the client understands.
fn apology(headers: &HeaderMap) -> fn() -> Response<()> {
    #[cfg(feature = "grpc")]
    if headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(GRPC)) {
        return || tonic::Status::internal("the service panicked").into_http();
    }
    let _ = headers;
    || {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    }
}

#[cfg(feature = "grpc")]
const GRPC: &[u8] = b"application/grpc";

pin_project! {
    /// An answer's body; with it the request in flight ends.
    pub(super) struct Answer<B> {
        #[pin]
        body: Option<B>,
        asked: Asked,
    }
}

impl<B: Body> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let Some(mut body) = this.body.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let frame = ready!(body.as_mut().poll_frame(cx));
        if frame.is_none() || body.is_end_stream() {
            this.asked.answered.set(true);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let is_end = self.body.as_ref().is_none_or(Body::is_end_stream);
        if is_end {
            // hyper will not ask for a frame.
            self.asked.answered.set(true);
        }
        is_end
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}
