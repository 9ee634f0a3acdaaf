//! The content of an answer over HTTP/1.1 on its way to hyper, watched for its end.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use ::hyper::Response;
use ::hyper::body::{Body, Buf, Frame, SizeHint};
use ::hyper::header::CONTENT_LENGTH;
use log::error;
use pin_project_lite::pin_project;

use super::HyperError;
use super::http1::Talk;
use crate::net::Stream;

pin_project! {
    /// The content of an answer, if there is any; tells when hyper has taken the last of it.
    pub(super) struct Content<B, T> {
        #[pin]
        body: Option<B>,
        // How many bytes are to come, where the head says it. hyper does not ask beyond them.
        left: Option<u64>,
        talk: Rc<Talk<T>>,
    }
}

impl<B: Body, T: Stream> Content<B, T> {
    pub(super) fn of(response: Response<Option<B>>, talk: Rc<Talk<T>>) -> Response<Content<B, T>> {
        let length = response.headers().get(CONTENT_LENGTH);
        let left = length.and_then(|length| length.to_str().ok()?.parse().ok());
        if response.body().is_none() || left == Some(0) {
            talk.hand_over();
        }
        response.map(|body| Content { body, left, talk })
    }
}

impl<B: Body, T: Stream> Body for Content<B, T>
where
    B::Error: Into<HyperError>,
{
    type Data = B::Data;
    type Error = HyperError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, HyperError>>> {
        let mut this = self.project();
        let Some(mut body) = this.body.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let frame = match ready!(body.as_mut().poll_frame(cx)).transpose() {
            Ok(frame) => frame,
            Err(error) => {
                let error: HyperError = error.into();
                let name = this.talk.connection.context().name();
                error!("{name}: an answer's body failed: {error}");
                return Poll::Ready(Some(Err(error)));
            }
        };
        let length = frame.as_ref().and_then(Frame::data_ref).map_or(0, Buf::remaining) as u64;
        *this.left = this.left.map(|left| left.saturating_sub(length));
        let ends = frame.as_ref().is_none_or(Frame::is_trailers);
        if ends || body.is_end_stream() || *this.left == Some(0) {
            this.talk.hand_over();
        }
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}
