//! All that touches async-h1: a head becomes a request, a response becomes bytes.
//!
//! What the engine would get wrong is kept from it by the guard before, and put right by `answer.rs` after.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

pub(super) use async_h1::server::Encoder;
use futures_lite::{AsyncRead, AsyncWrite};
use http_types::headers::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http_types::{Body, Method, Request, Response, StatusCode};

use super::guard::{Framing, Head, Refusal, refuse};
use super::upload::Upload;
use super::wire::Wire;
use crate::net::Stream;
use crate::web::Limits;

/// Has the engine decode the head, and attaches the body.
///
/// The head is all there, so the engine never waits. It is not awaited but polled here, and its
/// five kilobytes of buffers are on the stack for a moment and in no connection's task.
pub(super) fn decode(
    head: &Arc<Head>,
    limits: &Limits,
) -> Result<(Request, Option<Upload>), Refusal> {
    let bytes = OneHead { head: head.clone(), at: 0 };
    let decoded =
        pin!(async_h1::server::decode(bytes)).poll(&mut Context::from_waker(Waker::noop()));
    let mut request = match decoded {
        Poll::Ready(Ok(Some((request, _)))) => request,
        // The engine makes a URL of host and target, and not everything that the guard lets
        // through is one.
        _ => return Err(refuse(StatusCode::BadRequest, "malformed request target")),
    };
    if head.http_1_0 {
        request.set_version(Some(http_types::Version::Http1_0));
    }
    if !head.has_host {
        request.remove_header(HOST);
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

/// Begins to encode a response: queues its head, and returns the encoder, which has the body.
pub(super) async fn encode_head<S: Stream>(
    wire: &mut Wire<S>,
    response: Response,
    method: Method,
) -> io::Result<Encoder> {
    let start = wire.outbox().bytes().len();
    let mut encoder = Encoder::new(response, method);
    while !wire.outbox().bytes()[start..].ends_with(b"\r\n\r\n") {
        poll_fn(|cx| wire.poll_queue(&mut encoder, cx)).await?;
    }
    Ok(encoder)
}

/// The in-memory stream that the engine decodes: one head, and nothing behind it.
#[derive(Clone)]
struct OneHead {
    head: Arc<Head>,
    at: usize,
}

impl AsyncRead for OneHead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let rest = &self.head.canonical[self.at..];
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
