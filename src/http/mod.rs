//! HTTP/1.1, with async-h1 as its engine.
//!
//! A connection waits for readability and holds no buffer until a byte is there. Then it goes
//! through these rooms, again for each request:
//!
//! | file | what happens there |
//! |---|---|
//! | `resting.rs` | the wait for a request |
//! | `wire.rs` | bytes in, bytes out, time limits |
//! | `conversation.rs` | request after request: keep-alive, pipelining, the drain |
//! | `head.rs`, `fields.rs`, `target.rs` | the guard: one well-formed head, or a refusal |
//! | `framing.rs` | the guard: where a body ends, checked as it comes |
//! | `handling.rs` | the engine decodes, the handler answers |
//! | `upload.rs`, `body.rs` | a body on its way in, while somebody reads it |
//! | `answer.rs`, `sending.rs` | a response made fit to be sent, and sent through the engine's encoder |
//! | `upgrade.rs` | the stream handed to a handler |
//!
//! What http-types cannot carry is refused with 400: header values that are not ASCII.
//! Trailers are checked and dropped.

mod answer;
mod body;
mod conversation;
mod fields;
mod framing;
mod handling;
mod head;
mod limits;
mod resting;
mod sending;
mod target;
mod upgrade;
mod upload;
mod wire;

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

pub use http_types;
use http_types::{Request, Response};

use crate::error::Error;
use crate::net::{Listener, Peer, SocketListener, Stream};
use crate::server::{Connection, Protocol, Server};
use crate::service::Context;
use crate::shutdown::Shutdown;

pub use limits::Limits;

#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod guard {
    //! The guard's parts, for the fuzzers.
    pub use super::framing::Unframer;
    pub use super::head::{Framing, Head, parse};
}

/// An async function that answers requests.
///
/// Implemented for `async fn(Request) -> http_types::Result<Response>`, and for the same with an
/// [`Exchange`] as a second argument. It need not be `Send` and may hold an `Rc`. An error is
/// answered with the error's status and without its text; a panic is answered with 500.
pub trait Handler<Arguments>: 'static {
    /// Answers one request.
    fn handle(
        &self,
        request: Request,
        exchange: Exchange,
    ) -> impl Future<Output = http_types::Result<Response>> + 'static;
}

impl<F, Fut> Handler<(Request,)> for F
where
    F: Fn(Request) -> Fut + 'static,
    Fut: Future<Output = http_types::Result<Response>> + 'static,
{
    fn handle(
        &self,
        request: Request,
        _exchange: Exchange,
    ) -> impl Future<Output = http_types::Result<Response>> + 'static {
        self(request)
    }
}

impl<F, Fut> Handler<(Request, Exchange)> for F
where
    F: Fn(Request, Exchange) -> Fut + 'static,
    Fut: Future<Output = http_types::Result<Response>> + 'static,
{
    fn handle(
        &self,
        request: Request,
        exchange: Exchange,
    ) -> impl Future<Output = http_types::Result<Response>> + 'static {
        self(request, exchange)
    }
}

/// What a handler may want to know besides the request.
#[derive(Clone)]
pub struct Exchange {
    peer: Peer,
    cx: Rc<Context>,
}

impl Exchange {
    /// Who sent the request.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Whether shutdown has begun: a long answer should come to an end.
    pub fn draining(&self) -> bool {
        self.cx.shutdown().has_begun()
    }

    /// The time left until the answer is cut off; `None` before shutdown begins.
    pub fn time_left(&self) -> Option<Duration> {
        self.cx.time_left()
    }

    /// The shutdown, to be raced against.
    pub fn shutdown(&self) -> &Shutdown {
        self.cx.shutdown()
    }

    /// Sleeps for `duration` by the supervisor's clock.
    pub async fn sleep(&self, duration: Duration) {
        self.cx.sleep(duration).await;
    }

    /// Spawns a task that belongs to the service, for instance one that drives an upgraded
    /// connection: the drain waits for it, the deadline ends it.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.cx.spawn(task);
    }
}

type Handle =
    dyn Fn(Request, Exchange) -> Pin<Box<dyn Future<Output = http_types::Result<Response>>>>;

/// HTTP/1.1 as a [`Protocol`]: a handler and its [`Limits`].
pub struct Http {
    handle: Box<Handle>,
    limits: Limits,
    /// Every read of every connection goes through here: nothing waits while it is in use.
    scratch: RefCell<Box<[u8]>>,
    date: answer::DateLine,
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
            scratch: RefCell::new(vec![0; wire::READ].into()),
            date: answer::DateLine::default(),
        }
    }

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

    /// Sets the limits.
    pub fn limits(mut self, limits: Limits) -> Http {
        self.limits = limits;
        self
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
        conversation::hold(self, stream, connection)
    }

    fn shortest_limit(&self) -> Duration {
        self.limits.shortest()
    }
}
