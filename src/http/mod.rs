//! HTTP/1.1, with async-h1 as its engine.
//!
//! A connection waits for readability and holds no buffer until a byte is there. Then it goes
//! through these files, again for each request:
//!
//! | file | what happens there |
//! |---|---|
//! | `resting.rs` | the wait for a request |
//! | `wire.rs` | bytes in, bytes out, time limits |
//! | `conversation.rs` | request after request: keep-alive, pipelining, the drain |
//! | `guard/` | one well-formed head, or a refusal; where a body ends, checked as it comes |
//! | `engine.rs` | the engine decodes the head, and encodes the answer |
//! | `handling.rs` | the handler answers |
//! | `upload.rs`, `body.rs` | a body on its way in, while somebody reads it |
//! | `answer.rs` | a response is checked and made fit to be sent |
//! | `sending.rs`, `encoded_head.rs` | it is sent through the engine's encoder, whose mistakes are put right |
//! | `upgrade.rs` | the stream handed to a handler |
//!
//! What http-types cannot carry is refused with 400: header values that are not ASCII. So is a target with a
//! byte that RFC 3986 does not allow in a URI, or a host that a URL parser would rewrite: a handler sees what
//! a proxy in front has seen. Trailers are checked and dropped.
//!
//! # What a handler may say of an answer's framing
//!
//! The framing and the connection are the server's. What a handler says of them is used where it is true,
//! dropped where it is harmless, and otherwise costs the answer: the client gets a 500, the log the reason.
//!
//! - `content-length` may be the length of the body. A body of unknown length is held to it. To HEAD and in a
//!   304 it may stand without a body, as the length of what a GET would bring.
//! - `connection: close` closes the connection after the answer.
//! - `upgrade` may be in a 101, which must have it, and in a 426.
//! - `transfer-encoding: chunked`, `keep-alive`, `proxy-connection`, `te`, `trailer`, every other `connection`
//!   option and the fields that it names are dropped.
//! - A `content-length` that is malformed or another than the body's is false, and so is every other transfer
//!   coding, since the body is not sent in it.
//!
//! # An answer that is cut
//!
//! If an answer is cut off, by the deadline, a time limit or a body that fails, the client can tell by its
//! framing. An HTTP/1.0 client knows no chunks, so an answer of unknown length ends with the connection there: if it is
//! cut, the connection is reset ([`Stream::reset_on_close`]). An upgraded stream is the handler's:
//! dropping it is a clean end; if its task panics or is cut off at the deadline, the connection is reset.

mod answer;
mod body;
mod client;
mod conversation;
mod encoded_head;
mod ends;
mod engine;
mod guard;
mod handler;
mod handling;
mod last_word;
mod outbox;
mod resting;
mod sending;
mod shared;
mod taking;
mod upgrade;
mod upload;
mod watching;
mod wire;

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

pub use http_types;

use crate::error::Error;
use crate::net::{Listener, SocketListener, Stream};
use crate::server::{Connection, Protocol, Server};
pub use crate::web::{Exchange, Limits};
pub use handler::Handler;
pub use shared::Http;

#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod parts {
    //! The guard's parts, for the fuzzers.
    pub use super::guard::{Framing, Head, Unframer, parse};
}

impl Http {
    /// Binds a TCP or Unix socket (see [`SocketListener::bind`]) and serves `handler` on it.
    ///
    /// ```no_run
    /// use adieu::http::http_types::{Request, Response, Result};
    ///
    /// async fn hello(_request: Request) -> Result<Response> {
    ///     Ok("Hello".into())
    /// }
    ///
    /// let server = adieu::Http::bind("127.0.0.1:0", hello)?;
    /// println!("port {:?}", server.listener().port());
    /// # Ok::<(), adieu::Error>(())
    /// ```
    pub fn bind<Arguments>(
        address: &str,
        handler: impl Handler<Arguments>,
    ) -> Result<Server<SocketListener, Http>, Error> {
        Ok(Server::new(SocketListener::bind(address)?, Http::new(handler)))
    }
}

impl<L: Listener> Server<L, Http> {
    /// Sets the limits of an HTTP server.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.protocol_mut().limits = limits;
        self
    }

    /// Sets whether a handler is dropped if its client is gone: see [`Http::drop_handler_when_client_goes`].
    pub fn drop_handler_when_client_goes(mut self, drops: bool) -> Self {
        self.protocol_mut().drops_handlers = drops;
        self
    }
}

impl<S: Stream> Protocol<S> for Http {
    fn serve(
        self: Rc<Self>,
        stream: S,
        connection: Connection,
    ) -> impl Future<Output = io::Result<()>> + 'static {
        conversation::serve(self, stream, connection)
    }

    fn shortest_limit(&self) -> Duration {
        self.limits.shortest()
    }
}
