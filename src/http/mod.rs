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
//! | `answer.rs`, `sending.rs` | a response made fit to be sent, and sent |
//! | `upgrade.rs` | the stream handed to a handler |
//!
//! What http-types cannot carry is refused with 400: header values that are not ASCII.
//! Trailers are checked and dropped.

mod answer;
mod body;
mod conversation;
mod engine;
mod guard;
mod handler;
mod handling;
mod limits;
mod resting;
mod sending;
mod shared;
mod upgrade;
mod upload;
mod wire;

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

pub use http_types;

use crate::error::Error;
use crate::net::{Listener, SocketListener, Stream};
use crate::server::{Connection, Protocol, Server};
pub use handler::{Exchange, Handler};
pub use limits::Limits;
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
