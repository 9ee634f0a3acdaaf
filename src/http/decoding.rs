//! A request as the engine decodes it, from a head that the guard has let through.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_h1::server::decode;
use futures_lite::{AsyncRead, AsyncWrite};
use http_types::headers::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http_types::{Body, Request, StatusCode};

use super::head::{Framing, Head, Refusal, refuse};
use super::limits::Limits;
use super::upload::Upload;

/// Has the engine decode the head, and attaches the body.
///
/// The head is all there, so the engine never waits. It is not awaited but polled here, and its
/// five kilobytes of buffers are on the stack for a moment and in no connection's task.
pub(super) fn decode_head(
    head: &Head,
    limits: &Limits,
) -> Result<(Request, Option<Upload>), Refusal> {
    let bytes = OneHead { bytes: Arc::new(head.canonical.clone()), at: 0 };
    let mut request = match pin!(decode(bytes)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(Some((request, _)))) => request,
        // The engine makes a URL of host and target, and not everything that the guard lets
        // through is one.
        _ => return Err(refuse(StatusCode::BadRequest, "malformed request target")),
    };
    if head.http_1_0 {
        request.set_version(Some(http_types::Version::Http1_0));
    }
    let length = match head.framing {
        Framing::None => return Ok((request, None)),
        Framing::Length(length) => {
            request.insert_header(CONTENT_LENGTH, length.to_string());
            usize::try_from(length).ok()
        }
        Framing::Chunked => {
            request.insert_header(TRANSFER_ENCODING, "chunked");
            None
        }
    };
    let (upload, body) = Upload::new(head, limits)?;
    request.set_body(Body::from_reader(body, length));
    Ok((request, Some(upload)))
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
