//! Bodies over h2: a request's on its way out, an answer's on its way in.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use ::h2::{Reason, RecvStream, SendStream};
use ::hyper::body::{Body, Bytes, Frame};

/// Sends a body to its end, as fast as the server takes it.
pub(super) async fn send(body: impl Body<Data = Bytes>, mut stream: SendStream<Bytes>) {
    let mut body = pin!(body);
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(frame) = frame else { return stream.send_reset(Reason::CANCEL) };
        let sent = match frame.into_data() {
            Ok(data) => send_data(data, &mut stream).await,
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                // If the stream is gone, the answer tells why; here and below.
                let _ = stream.send_trailers(trailers);
                None
            }
        };
        if sent.is_none() {
            return;
        }
    }
    let _ = stream.send_data(Bytes::new(), true);
}

/// `None`: the server takes no more of it.
async fn send_data(mut data: Bytes, stream: &mut SendStream<Bytes>) -> Option<()> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let room = poll_fn(|cx| stream.poll_capacity(cx)).await?.ok()?;
        stream.send_data(data.split_to(room.min(data.len())), false).ok()?;
    }
    Some(())
}

/// The body of an answer. What is not read of it fills the client's window, and then the server waits.
#[derive(Debug)]
pub struct Http2Body(pub(super) RecvStream);

impl Body for Http2Body {
    type Data = Bytes;
    type Error = ::h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ::h2::Error>>> {
        if let Some(data) = ready!(self.0.poll_data(cx)) {
            let taken = data.and_then(|data| {
                self.0.flow_control().release_capacity(data.len())?;
                Ok(Frame::data(data))
            });
            return Poll::Ready(Some(taken));
        }
        let trailers = ready!(self.0.poll_trailers(cx));
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}
