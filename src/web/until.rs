//! Streams that end when the shutdown begins.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::{AsyncBufRead, AsyncRead, Stream};
use pin_project_lite::pin_project;

use crate::shutdown::Shutdown;

/// How much a stream that always has more ready may still bring once the shutdown has begun, in items, frames or
/// reads.
const MOST_AFTER: u8 = 64;

/// Whether an answer of this content type is a stream of events, which ends with the shutdown if its length is
/// unknown: it would not end by itself, and its clients come back by themselves (HTML, 9.2 Server-sent events).
pub(crate) fn is_event_stream(content_type: &[u8]) -> bool {
    let essence = content_type.split(|&byte| byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// Tells a stream that has nothing ready whether it is over.
pub(crate) struct Until {
    /// `None` once it has begun.
    shutdown: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
    left: u8,
}

impl Until {
    pub(crate) fn new(shutdown: &Shutdown) -> Until {
        let shutdown = shutdown.clone();
        Until { shutdown: Some(Box::pin(async move { shutdown.begun().await })), left: MOST_AFTER }
    }

    /// To be asked before each poll of the stream: whether it is over should it have nothing ready. If not,
    /// the task of `cx` is woken when it is.
    pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Over {
        if let Some(shutdown) = &mut self.shutdown {
            if shutdown.as_mut().poll(cx).is_pending() {
                return Over::No;
            }
            self.shutdown = None;
        }
        match self.left {
            0 => Over::Yes,
            _ => {
                self.left -= 1;
                Over::IfPending
            }
        }
    }
}

/// Whether a stream is over.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Over {
    No,
    /// If it has nothing ready.
    IfPending,
    Yes,
}

impl Over {
    /// What came of polling the stream, unless that is over: then `end`.
    pub(crate) fn or<T>(self, poll: impl FnOnce() -> Poll<T>, end: T) -> Poll<T> {
        if self == Over::Yes {
            return Poll::Ready(end);
        }
        match poll() {
            Poll::Pending if self == Over::IfPending => Poll::Ready(end),
            polled => polled,
        }
    }
}

pin_project! {
    /// A stream, a reader or a body that ends when the shutdown has begun; made by
    /// [`Exchange::until_shutdown`](crate::Exchange::until_shutdown).
    ///
    /// It ends when it has nothing ready: as a [`Stream`] with `None`, as a reader with no bytes, as
    /// the body of a hyper service without trailers. So what was there when shutdown began is still sent. A stream that
    /// always has more ready ends after 64 items, frames or reads. Its length is unknown, so a body of
    /// known length is sent without that.
    pub struct UntilShutdown<S> {
        #[pin]
        stream: S,
        until: Until,
    }
}

impl<S> UntilShutdown<S> {
    pub(crate) fn new(stream: S, shutdown: &Shutdown) -> UntilShutdown<S> {
        UntilShutdown { stream, until: Until::new(shutdown) }
    }
}

impl<S: std::fmt::Debug> std::fmt::Debug for UntilShutdown<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("UntilShutdown").field(&self.stream).finish()
    }
}

impl<S: Stream> Stream for UntilShutdown<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = self.project();
        this.until.poll_over(cx).or(|| this.stream.poll_next(cx), None)
    }
}

impl<S: AsyncRead> AsyncRead for UntilShutdown<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        this.until.poll_over(cx).or(|| this.stream.poll_read(cx, buf), Ok(0))
    }
}

impl<S: AsyncBufRead> AsyncBufRead for UntilShutdown<S> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.project();
        this.until.poll_over(cx).or(|| this.stream.poll_fill_buf(cx), Ok(&[]))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        self.project().stream.consume(amount);
    }
}

#[cfg(feature = "hyper")]
impl<B: ::hyper::body::Body> ::hyper::body::Body for UntilShutdown<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<::hyper::body::Frame<B::Data>, B::Error>>> {
        let this = self.project();
        this.until.poll_over(cx).or(|| this.stream.poll_frame(cx), None)
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::is_event_stream;

    #[test]
    fn a_stream_of_events_is_told_by_its_type_alone() {
        for (content_type, is) in [
            ("text/event-stream", true),
            ("Text/Event-Stream ; charset=utf-8", true),
            ("text/event-streams", false),
            ("text/plain; x=text/event-stream", false),
            ("", false),
        ] {
            assert_eq!(is_event_stream(content_type.as_bytes()), is, "{content_type}");
        }
    }
}
