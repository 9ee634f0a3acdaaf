//! Streams of answers that end with the drain.

use std::pin::Pin;
use std::task::{Context, Poll};

use ::hyper::Response;
use ::hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Status;
use tonic::body::Body;

use super::deadline::Answer;
use crate::hyper::{Exchange, unavailable_trailers};
use crate::web::Until;

/// Has the messages of an answer end, when the shutdown has begun and none is ready, with UNAVAILABLE. The one
/// message of an answer that is no stream is ready with the answer.
pub(super) fn with_shutdown(answer: Answer, exchange: &Exchange) -> Answer {
    let until = Until::new(exchange.shutdown());
    let (head, body) = answer.into_parts();
    Response::from_parts(head, Body::new(Ending { body, until, is_over: false }))
}

pin_project! {
    struct Ending {
        #[pin]
        body: Body,
        until: Until,
        is_over: bool,
    }
}

impl HttpBody for Ending {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.project();
        if *this.is_over {
            return Poll::Ready(None);
        }
        let over = this.until.poll_over(cx);
        over.or(|| this.body.poll_frame(cx).map(Some), None).map(|frame| {
            frame.unwrap_or_else(|| {
                *this.is_over = true;
                Some(Ok(Frame::trailers(unavailable_trailers())))
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
