//! From a head to a response: the engine decodes it, the handler answers.

use std::future::{Future, poll_fn};
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_h1::server;
use futures_lite::{AsyncRead, AsyncWrite, FutureExt, future};
use http_types::headers::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http_types::{Body, Request, Response, StatusCode};
use log::{debug, error};

use super::head::{Framing, Head, Refusal, refuse};
use super::limits::Limits;
use super::upload::{Upload, poll_upload};
use super::wire::Wire;
use super::{Exchange, answer};
use crate::net::Stream;
use crate::words::panic_message;

/// Has the engine decode the head, and attaches the body.
///
/// The head is all there, so the engine never waits. It is not awaited but polled here, and its
/// five kilobytes of buffers are on the stack for a moment and in no connection's task.
pub(super) fn decode(head: &Head, limits: &Limits) -> Result<(Request, Option<Upload>), Refusal> {
    let bytes = OneHead { bytes: Arc::new(head.canonical.clone()), at: 0 };
    let decoded = pin!(server::decode(bytes)).poll(&mut Context::from_waker(Waker::noop()));
    let mut request = match decoded {
        Poll::Ready(Ok(Some((request, _)))) => request,
        // The engine makes a URL of host and target, and not everything that the guard lets
        // through is one.
        _ => return Err(refuse(StatusCode::BadRequest, "malformed request target")),
    };
    if head.http_1_0 {
        request.set_version(Some(http_types::Version::Http1_0));
    }
    if head.framing == Framing::None {
        return Ok((request, None));
    }
    let (upload, body) = Upload::new(head, limits)?;
    let length = match head.framing {
        Framing::Length(length) => {
            request.insert_header(CONTENT_LENGTH, length.to_string());
            usize::try_from(length).ok()
        }
        _ => {
            request.insert_header(TRANSFER_ENCODING, "chunked");
            None
        }
    };
    request.set_body(Body::from_reader(body, length));
    Ok((request, Some(upload)))
}

/// Has the handler answer, and feeds it the body meanwhile.
pub(super) async fn handle<S: Stream>(
    wire: &mut Wire<S>,
    request: Request,
    upload: &mut Option<Upload>,
) -> io::Result<Response> {
    let exchange =
        Exchange { peer: wire.connection.peer().clone(), cx: wire.connection.context().clone() };
    let http = wire.http.clone();
    // Inside the guard even when it is called: a handler need not be an async fn.
    let handling = async { (http.handle)(request, exchange).await };
    let mut handling = pin!(AssertUnwindSafe(handling).catch_unwind());
    let handled = loop {
        let handled = poll_fn(|cx| {
            if let Poll::Ready(handled) = handling.as_mut().poll(cx) {
                return Poll::Ready(Some(handled));
            }
            // Earlier answers do not wait for this one.
            match wire.outbox.is_empty() {
                true => poll_upload(upload, wire, cx).map(|()| None),
                false => Poll::Ready(None),
            }
        });
        match handled.await {
            Some(handled) => break handled,
            None if wire.outbox.is_empty() => future::yield_now().await,
            None => wire.flush().await?,
        }
    };
    let name = wire.connection.context().name();
    Ok(match handled {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            let status = match error.status() {
                status if status.is_client_error() || status.is_server_error() => status,
                _ => StatusCode::InternalServerError,
            };
            // A body that the client got wrong is answered as such, and is nobody's error here.
            let body_failed = upload.as_ref().is_some_and(Upload::has_failed);
            match status.is_server_error() && !body_failed {
                true => error!("{name}: the handler failed: {error}"),
                false => debug!("{name}: the handler refused: {error}"),
            }
            answer::plain(status, "")
        }
        Err(panic) => {
            wire.connection.count_panic();
            error!("{name}: the handler panicked: {}", panic_message(&*panic));
            answer::plain(StatusCode::InternalServerError, "")
        }
    })
}

/// The in-memory stream that the engine decodes: one head, and nothing behind it.
#[derive(Clone)]
struct OneHead {
    bytes: Arc<Vec<u8>>,
    at: usize,
}

impl AsyncRead for OneHead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let rest = &self.bytes[self.at..];
        let amount = rest.len().min(buf.len());
        buf[..amount].copy_from_slice(&rest[..amount]);
        self.at += amount;
        Poll::Ready(Ok(amount))
    }
}

/// The engine asks for it, to write `100 Continue`; no head that it sees expects one.
impl AsyncWrite for OneHead {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
