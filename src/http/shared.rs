//! What the connections of one server share.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_lite::AsyncRead;
use http_types::headers::HeaderValue;
use http_types::{Request, Response};

use super::handler::Handler;
use crate::server::Connection;
use crate::web::Limits;
use crate::web::{DateLine, Exchange, Exchanges};

/// How much is read at once, in bytes.
const READ_SIZE: usize = 16 * 1024;

type Handle =
    dyn Fn(Request, Exchange) -> Pin<Box<dyn Future<Output = http_types::Result<Response>>>>;

/// HTTP/1.1 as a [`Protocol`](crate::Protocol): a handler and its [`Limits`].
pub struct Http {
    handle: Box<Handle>,
    pub(super) limits: Limits,
    /// Whether the handlers of clients that are gone are dropped.
    pub(super) drops_handlers: bool,
    /// Every read of every connection goes through here: nothing waits while it is in use.
    scratch: RefCell<Box<[u8]>>,
    pub(super) date: DateLine<HeaderValue>,
    pub(super) exchanges: Exchanges,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Http {
    /// Answers requests with `handler`, with the default [`Limits`].
    pub fn new<Arguments>(handler: impl Handler<Arguments>) -> Http {
        Http {
            handle: Box::new(move |request, exchange| Box::pin(handler.handle(request, exchange))),
            limits: Limits::default(),
            drops_handlers: false,
            scratch: RefCell::new(vec![0; READ_SIZE].into()),
            date: DateLine::default(),
            exchanges: Exchanges::default(),
        }
    }

    /// Sets the limits.
    pub fn limits(mut self, limits: Limits) -> Http {
        self.limits = limits;
        self
    }

    /// Sets whether a handler is dropped where it stands if its client is gone, and so is the body of an answer.
    /// Default: false. The handler works on, and can see it ([`Exchange::client_gone`]); but the drain does not wait
    /// for it. See there how a client is found to be gone.
    ///
    /// A dropped handler is counted ([`Counts::dropped`](crate::Counts::dropped)) and logged at debug level.
    pub fn drop_handler_when_client_goes(mut self, drops: bool) -> Http {
        self.drops_handlers = drops;
        self
    }

    /// Has the handler answer.
    pub(super) async fn handle(
        &self,
        request: Request,
        exchange: Exchange,
    ) -> http_types::Result<Response> {
        (self.handle)(request, exchange).await
    }

    /// Reads once from a connection's stream, and appends to `bytes`. 0 is the end.
    pub(super) fn poll_receive(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
        connection: &Connection,
        bytes: &mut Vec<u8>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let amount = ready!(self.poll_read(stream, bytes, cx))?;
        connection.count_received(amount);
        Poll::Ready(Ok(amount))
    }

    /// Reads once from `source`, and appends to `bytes`. 0 is the end.
    pub(super) fn poll_read(
        &self,
        source: &mut (impl AsyncRead + Unpin),
        bytes: &mut Vec<u8>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let scratch = &mut *self.scratch.borrow_mut();
        let amount = ready!(Pin::new(source).poll_read(cx, scratch))?;
        bytes.extend_from_slice(&scratch[..amount]);
        Poll::Ready(Ok(amount))
    }
}
