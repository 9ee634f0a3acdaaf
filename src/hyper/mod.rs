//! HTTP/1.1 and HTTP/2 on one port, with hyper as the engine. (Feature `hyper`.)
//!
//! Any hyper service is served, and through [`tower`] any tower service, an `axum::Router` included;
//! all of it on the supervisor's one thread, without a tokio runtime. A connection that has not
//! sent a byte waits with nothing but its stream; then its first bytes tell the protocol
//! (`opening.rs`) and hyper converses (`drive.rs`) over the stream (`io.rs`), while each answer is
//! watched to its end (`answer.rs`).

mod answer;
mod drive;
mod io;
mod opening;
mod runtime;
mod tower;

use std::error::Error as StdError;
use std::fmt;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub use ::hyper;
use ::hyper::body::{Body, Incoming};
use ::hyper::server::conn::{http1, http2};
use ::hyper::service::{Service, service_fn};
use ::hyper::{Request, Response};

use crate::error::Error;
use crate::net::{Peer, SocketListener, SocketStream, Stream};
use crate::server::{Connection, Protocol, Server};
use crate::shutdown::Shutdown;
use answer::Answer;
use drive::{End, Talk};
use io::Io;
pub use runtime::{Spawner, Timer};
pub use tower::{Tower, tower};

/// What a service may want to know besides the request: an extension of every request.
///
/// ```
/// # fn service(request: adieu::hyper::hyper::Request<()>) {
/// let exchange = request.extensions().get::<adieu::hyper::Exchange>();
/// let draining = exchange.is_some_and(|exchange| exchange.shutdown().has_begun());
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Exchange(Arc<(Peer, Shutdown)>);

impl Exchange {
    /// Who sent the request.
    pub fn peer(&self) -> &Peer {
        &self.0.0
    }

    /// The shutdown: a long answer should come to an end once it has begun.
    pub fn shutdown(&self) -> &Shutdown {
        &self.0.1
    }
}

/// A hyper service as a [`Protocol`]: HTTP/1.1, or HTTP/2 where the client begins with its preface.
///
/// When shutdown begins, HTTP/1.1 goes by the same rules as [`Http`](crate::Server): what is
/// in flight is answered with `Connection: close`, a connection that is new or idle is closed after
/// one last look, half a request head gets two seconds more and then 408. HTTP/2 connections are told
/// with GOAWAY: streams in flight finish, later ones are refused as safe to retry.
///
/// A panic of the service is answered with 500. An error of the service breaks the connection in
/// HTTP/1.1 and the stream in HTTP/2, as hyper has it: answer with a status instead.
pub struct Hyper<S> {
    service: S,
    limits: Limits,
    http1: SetUp<http1::Builder>,
    http2: SetUp<http2::Builder<Spawner>>,
}

type SetUp<Builder> = Box<dyn Fn(&mut Builder)>;

/// What a client may take in time.
#[derive(Clone, Copy, Debug)]
struct Limits {
    head: Duration,
    answer: Duration,
    idle: Duration,
}

impl<S: fmt::Debug> fmt::Debug for Hyper<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hyper { service, limits, .. } = self;
        f.debug_struct("Hyper").field("service", service).field("limits", limits).finish()
    }
}

impl<S> Hyper<S> {
    /// Answers requests with `service`. It need not be `Send`.
    pub fn new(service: S) -> Hyper<S> {
        let limits = Limits {
            head: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            idle: Duration::from_secs(60),
        };
        Hyper { service, limits, http1: Box::new(|_| {}), http2: Box::new(|_| {}) }
    }

    /// Binds a TCP or Unix socket (see [`SocketListener::bind`]) and serves `service` on it.
    ///
    /// ```no_run
    /// use std::convert::Infallible;
    /// use adieu::hyper::Hyper;
    /// use adieu::hyper::hyper::body::Incoming;
    /// use adieu::hyper::hyper::service::service_fn;
    /// use adieu::hyper::hyper::{Request, Response};
    ///
    /// async fn hello(_request: Request<Incoming>) -> Result<Response<String>, Infallible> {
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

    /// Sets how long the head of an HTTP/1.1 request may take from its first byte to its last; then
    /// 408. Kept to within 100 ms. Default: 10 s.
    pub fn head_time(mut self, limit: Duration) -> Hyper<S> {
        self.limits.head = limit;
        self
    }

    /// Sets how long a client may take nothing of an answer that is to be written to its socket; then
    /// the connection is cut. Kept to within 100 ms. Default: 30 s. An HTTP/2 client that gives a stream no
    /// window holds up only that stream, which has no limit but the end of the grace period.
    pub fn answer_time(mut self, limit: Duration) -> Hyper<S> {
        self.limits.answer = limit;
        self
    }

    /// Sets how long a connection may be without a request; then it is closed, HTTP/2 with GOAWAY.
    /// Kept to within 100 ms. Default: 60 s.
    pub fn idle(mut self, limit: Duration) -> Hyper<S> {
        self.limits.idle = limit;
        self
    }

    /// Has `set_up` change hyper's settings of each HTTP/1.1 connection.
    pub fn http1(mut self, set_up: impl Fn(&mut http1::Builder) + 'static) -> Hyper<S> {
        self.http1 = Box::new(set_up);
        self
    }

    /// Has `set_up` change hyper's settings of each HTTP/2 connection.
    pub fn http2(mut self, set_up: impl Fn(&mut http2::Builder<Spawner>) + 'static) -> Hyper<S> {
        self.http2 = Box::new(set_up);
        self
    }
}

/// An error as hyper takes them.
type HyperError = Box<dyn StdError + Send + Sync>;

impl<T, S, B> Protocol<T> for Hyper<S>
where
    T: Stream,
    S: Service<Request<Incoming>, Response = Response<B>> + 'static,
    S::Future: 'static,
    S::Error: Into<HyperError>,
    B: Body + 'static,
    B::Error: Into<HyperError>,
{
    async fn serve(self: Rc<Self>, mut stream: T, connection: Connection) -> std::io::Result<()> {
        let Some(opening) = opening::receive(&mut stream, &connection, self.limits).await? else {
            return Ok(());
        };
        // In a box: what hyper holds must not weigh on connections that have not sent a byte.
        match opening.is_http2() {
            true => Box::pin(self.talk_http2(Io::new(stream, opening), connection)).await,
            false => Box::pin(self.talk_http1(Io::new(stream, opening), connection)).await,
        }
    }

    fn shortest_limit(&self) -> Duration {
        self.limits.head.min(self.limits.answer).min(self.limits.idle)
    }
}

impl<S, B> Hyper<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + 'static,
    S::Future: 'static,
    S::Error: Into<HyperError>,
    B: Body + 'static,
    B::Error: Into<HyperError>,
{
    async fn talk_http1<T: Stream>(
        self: Rc<Self>,
        (io, wire): (Io<T>, io::Wire),
        connection: Connection,
    ) -> std::io::Result<()> {
        let talk = Talk::new(connection, wire, self.limits);
        let mut builder = http1::Builder::new();
        // The head's time is kept by the connection's limit, without a timer for each request.
        builder.timer(Timer).header_read_timeout(None);
        (self.http1)(&mut builder);
        let service = self.watched(talk.clone());
        let mut conversation = builder.serve_connection(io, service).with_upgrades();
        let say_goodbye = |conversation: Pin<&mut _>| {
            http1::UpgradeableConnection::graceful_shutdown(conversation)
        };
        let end = talk.drive(Pin::new(&mut conversation), say_goodbye).await?;
        match (end, conversation.into_parts()) {
            (End::HeadTooSlow, Some(parts)) => talk.refuse_slow_head(parts.io).await,
            (_, Some(_)) => Ok(()),
            (_, None) => {
                talk.upgraded().await;
                Ok(())
            }
        }
    }

    async fn talk_http2<T: Stream>(
        self: Rc<Self>,
        (io, wire): (Io<T>, io::Wire),
        connection: Connection,
    ) -> std::io::Result<()> {
        let mut builder = http2::Builder::new(Spawner(connection.context().clone()));
        let talk = Talk::new(connection, wire, self.limits);
        talk.is_http2.set(true);
        builder.timer(Timer);
        (self.http2)(&mut builder);
        let conversation = pin!(builder.serve_connection(io, self.watched(talk.clone())));
        talk.drive(conversation, http2::Connection::graceful_shutdown).await.map(|_| ())
    }

    /// The service, with every request watched from its head to the end of its answer.
    fn watched(
        self: Rc<Self>,
        talk: Rc<Talk>,
    ) -> impl Service<Request<Incoming>, Response = Response<Answer<B>>, Error = S::Error> {
        service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(talk.exchange.clone());
            let asked = talk.clone().begin(&request);
            answer::watched(self.clone(), request, asked)
        })
    }
}
