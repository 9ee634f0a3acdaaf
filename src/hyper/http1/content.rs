//! The content of an answer over HTTP/1.1 on its way to hyper, watched for its end.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use ::hyper::Response;
use ::hyper::body::{Body, Buf, Frame, SizeHint};
use ::hyper::header::CONTENT_TYPE;
use pin_project_lite::pin_project;

use super::talk::Talk;
use crate::hyper::answer::Answer;
use crate::hyper::fault::HyperError;
use crate::hyper::fit::Rest;
use crate::net::Stream;
use crate::web::{Over, Until, is_event_stream};

pin_project! {
    /// The content of an answer, if there is any; tells when hyper has taken the last of it.
    pub(super) struct Content<B, T> {
        #[pin]
        body: Option<B>,
        rest: Rest,
        // Ends it with the shutdown, if it is a stream of events.
        until: Option<Box<Until>>,
        talk: Rc<Talk<T>>,
        // Whether hyper has found nothing of it yet at some time.
        waited: bool,
    }
}

impl<B: Body, T: Stream> Content<B, T> {
    pub(super) fn of(answer: Answer<B>, talk: Rc<Talk<T>>) -> Response<Content<B, T>> {
        let Answer { response, fields } = answer;
        let rest = Rest::of(&fields);
        if response.body().is_none() || rest.is_nothing() {
            talk.hand_over();
        }
        let kind = response.headers().get(CONTENT_TYPE);
        let is_endless = rest.is_unknown() && kind.is_some_and(|it| is_event_stream(it.as_bytes()));
        let until = is_endless.then(|| Box::new(Until::new(talk.connection.shutdown())));
        response.map(|body| Content { body, rest, until, talk, waited: false })
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
        let over = this.until.as_mut().map_or(Over::No, |until| until.poll_over(cx));
        let frame = match over.or(|| body.as_mut().poll_frame(cx), None) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                *this.waited = true;
                return Poll::Pending;
            }
        };
        if let Some(Ok(frame)) = &frame {
            this.talk.count_content(frame.data_ref().map_or(0, Buf::remaining));
        }
        let name = this.talk.connection.context().name();
        let taken = this.rest.take(frame, body.is_end_stream(), name);
        // Beyond the length that is known hyper does not ask.
        if matches!(taken, Ok((_, ends)) if ends || this.rest.is_nothing()) {
            this.talk.hand_over();
            this.talk.look_again.set(*this.waited);
        }
        Poll::Ready(taken.map(|(frame, _)| frame).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}
