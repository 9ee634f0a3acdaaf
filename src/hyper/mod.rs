//! HTTP/1.1 and HTTP/2 on one port, with hyper and h2 as engines. (Feature `hyper`.)
//!
//! Any hyper service is served, and through [`tower`] any tower service, an `axum::Router` included;
//! all of it on the supervisor's one thread, without a tokio runtime. A connection that has not sent a
//! byte waits with nothing but its stream; then its first bytes tell the protocol.
//!
//! | file | what lives there |
//! |---|---|
//! | `opening.rs` | the first bytes of a connection |
//! | `http1.rs`, `content.rs` | a conversation over HTTP/1.1, driven by hyper |
//! | `http2/` | a conversation over HTTP/2, driven by h2 |
//! | `io.rs` | the stream as either engine reads and writes it |
//! | `request.rs`, `body.rs` | a request's head, checked; its body, within the limits |
//! | `answer.rs` | the service asked; the head of its answer made fit to be sent |

mod answer;
mod body;
mod content;
mod exchange;
mod http1;
mod http2;
mod io;
mod limits;
mod opening;
mod request;
mod runtime;
mod tower;

use std::error::Error as StdError;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

pub use ::h2;
pub use ::hyper;
use ::hyper::body::Body;
use ::hyper::server::conn::http1::Builder as Http1Builder;
use ::hyper::service::Service;
use ::hyper::{Request, Response};

use crate::connection::Connection;
use crate::error::Error;
use crate::net::{Listener, SocketListener, SocketStream, Stream};
use crate::server::{Protocol, Server};
pub use body::{BodyError, RequestBody};
pub use exchange::Exchange;
pub use limits::Limits;
pub use runtime::Timer;
pub use tower::{Tower, tower};

/// A hyper service as a [`Protocol`]: HTTP/1.1, or HTTP/2 where the client begins with its preface.
///
/// A service is a `Service<Request<RequestBody>>`: [`RequestBody`] stands for the body of either version
/// and keeps it within the [`Limits`]. Services that take any body, such as an axum router or what tonic
/// generates, need no change.
///
/// When shutdown begins, HTTP/1.1 goes by the same rules as [`Http`](crate::Server): what is
/// in flight is answered with `Connection: close`, a connection that is new or idle is closed after
/// one last look, half a request head gets two seconds more and then 408. HTTP/2 connections are told
/// with GOAWAY: streams in flight finish, later ones are refused as safe to retry.
///
/// A request is in flight until the system has taken the last byte of its answer. Over HTTP/2, while a
/// client leaves more than 1 MiB of answers untaken, the handlers of its further requests are not called.
///
/// A request that does not say for which host it is, or says it twice, is answered with 400; CONNECT over
/// HTTP/2 with 405. Every other method goes to the service.
///
/// A panic of the service is answered with 500. An error of the service breaks the connection in
/// HTTP/1.1 and the stream in HTTP/2, as hyper has it: answer with a status instead.
pub struct Hyper<S> {
    service: S,
    limits: Limits,
    http1: SetUp<Http1Builder>,
    http2: SetUp<h2::server::Builder>,
    date: answer::DateLine,
}

/// An error as hyper takes them.
type HyperError = Box<dyn StdError + Send + Sync>;

type SetUp<Builder> = Box<dyn Fn(&mut Builder)>;

impl<S: fmt::Debug> fmt::Debug for Hyper<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hyper { service, limits, .. } = self;
        f.debug_struct("Hyper").field("service", service).field("limits", limits).finish()
    }
}

impl<S> Hyper<S> {
    /// Answers requests with `service`, with the default [`Limits`]. It need not be `Send`.
    pub fn new(service: S) -> Hyper<S> {
        Hyper {
            service,
            limits: Limits::default(),
            http1: Box::new(|_| {}),
            http2: Box::new(|_| {}),
            date: answer::DateLine::default(),
        }
    }

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

    /// Sets the limits.
    pub fn limits(mut self, limits: Limits) -> Hyper<S> {
        self.limits = limits;
        self
    }

    /// Has `set_up` change hyper's settings of each HTTP/1.1 connection.
    pub fn http1(mut self, set_up: impl Fn(&mut Http1Builder) + 'static) -> Hyper<S> {
        self.http1 = Box::new(set_up);
        self
    }

    /// Has `set_up` change h2's settings of each HTTP/2 connection. Before it come the defaults here: 200
    /// streams at once, a window of 512 KiB for each and of 1 MiB for all of them, 16 KiB of header
    /// fields, 128 KiB of an answer in h2's own buffer.
    pub fn http2(mut self, set_up: impl Fn(&mut h2::server::Builder) + 'static) -> Hyper<S> {
        self.http2 = Box::new(set_up);
        self
    }
}

impl<L: Listener, S> Server<L, Hyper<S>>
where
    Hyper<S>: Protocol<L::Stream>,
{
    /// Sets the limits of a hyper server.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.protocol_mut().limits = limits;
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
    async fn serve(self: Rc<Self>, mut stream: T, connection: Connection) -> std::io::Result<()> {
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
