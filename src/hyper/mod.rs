//! HTTP/1.1 and HTTP/2 on one port, with hyper and h2 as engines. (Feature `hyper`.)
//!
//! Any hyper service is served, and through [`tower`] any tower service, an `axum::Router` included;
//! all of it on the supervisor's one thread, without a tokio runtime. A connection that has not sent a
//! byte waits with nothing but its stream; then its first bytes tell the protocol.
//!
//! | file | what lives there |
//! |---|---|
//! | `opening.rs` | the first bytes of a connection |
//! | `http1/` | a conversation over HTTP/1.1, driven by hyper |
//! | `http2/` | a conversation over HTTP/2, driven by h2 |
//! | `io.rs`, `portions.rs` | the stream as either engine reads and writes it; how much of it hyper is given at once |
//! | `request.rs`, `body.rs` | a request's head, checked; its body, within the limits |
//! | `answer.rs` | the service asked |
//! | `fit.rs` | the head of its answer made fit to be sent, and its content held to it |
//!
//! hyper reads a request target without its fragment (`#..`), which has no place in one: that alone of a target is
//! dropped and not refused.
//!
//! What a service may say of an answer's framing is what a handler of [`Http`](crate::Server) may: what is
//! true is used, what is harmless is dropped, and what is false is logged and answered with 500.

mod answer;
mod body;
mod fault;
mod fit;
mod http1;
mod http2;
mod io;
mod opening;
mod portions;
mod request;
mod runtime;
mod settings;
mod tower;

use std::io::Result as IoResult;
use std::rc::Rc;
use std::time::Duration;

pub use ::h2;
pub use ::hyper;
use ::hyper::body::Body;
use ::hyper::service::Service;
use ::hyper::{Request, Response};

use crate::error::Error;
use crate::net::{Listener, SocketListener, SocketStream, Stream};
use crate::server::{Connection, Protocol, Server};
pub use crate::web::{Exchange, Limits};
#[cfg(feature = "grpc")]
pub(crate) use answer::unavailable_trailers;
pub use body::RequestBody;
pub use fault::BodyError;
use fault::HyperError;
pub use runtime::Timer;
pub use settings::Hyper;
use settings::WhenGone;
pub use tower::{Tower, tower};

impl<S> Hyper<S> {
    /// Binds a TCP or Unix socket (see [`SocketListener::bind`]) and serves `service` on it.
    ///
    /// ```no_run
    /// use std::convert::Infallible;
    /// use adieu::hyper::{Hyper, RequestBody};
    /// use adieu::hyper::hyper::service::service_fn;
    /// use adieu::hyper::hyper::{Request, Response};
    ///
    /// async fn hello(_request: Request<RequestBody>) -> Result<Response<String>, Infallible> {
    ///     Ok(Response::new("Hello".to_owned()))
    /// }
    ///
    /// let server = Hyper::bind("[::]:8080", service_fn(hello))?;
    /// # Ok::<(), adieu::Error>(())
    /// ```
    pub fn bind(address: &str, service: S) -> Result<Server<SocketListener, Hyper<S>>, Error>
    where
        Hyper<S>: Protocol<SocketStream>,
    {
        Ok(Server::new(SocketListener::bind(address)?, Hyper::new(service)))
    }
}

impl<L: Listener, S> Server<L, Hyper<S>>
where
    Hyper<S>: Protocol<L::Stream>,
{
    /// Sets the limits of a hyper server.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.protocol_mut().limits = Rc::new(limits);
        self
    }

    /// Sets what becomes of a handler whose client is gone: see [`Hyper::drop_handler_when_client_goes`].
    pub fn drop_handler_when_client_goes(mut self, drops: bool) -> Self {
        self.protocol_mut().when_gone = WhenGone::chosen(drops);
        self
    }
}

impl<T, S, B> Protocol<T> for Hyper<S>
where
    T: Stream,
    S: Service<Request<RequestBody>, Response = Response<B>> + 'static,
    S::Future: 'static,
    S::Error: Into<HyperError>,
    B: Body + 'static,
    B::Error: Into<HyperError>,
{
    async fn serve(self: Rc<Self>, mut stream: T, connection: Connection) -> IoResult<()> {
        let Some(opening) = opening::receive(&mut stream, &connection, &self.limits).await? else {
            return Ok(());
        };
        // In a box: what an engine holds must not weigh on connections that have not sent a byte.
        match opening.is_http2() {
            true => Box::pin(http2::converse(self, stream, opening, connection)).await,
            false => Box::pin(http1::converse(self, stream, opening, connection)).await,
        }
    }

    fn shortest_limit(&self) -> Duration {
        self.limits.shortest()
    }
}
