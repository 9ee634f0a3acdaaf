//! gRPC: tonic's services on top of [`Hyper`], and the standard health service. (Feature `grpc`.)
//!
//! Services are what tonic generates, and whatever wraps them; tonic's own server, which is for
//! tokio, is not used: `tonic = { version = "0.14", default-features = false, features = ["codegen"] }`
//! and tonic-prost are enough for a service, generated with `build_transport(false)`. All four kinds of calls
//! work. From the cause on the health service says NOT_SERVING. When the drain begins clients are told with
//! GOAWAY, calls in flight finish, and later ones are refused so that clients try them elsewhere. A call that
//! misses the deadline ends as UNAVAILABLE.

mod deadline;
mod ending;
mod health;

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use ::hyper::Request;
use ::hyper::service::Service;
use tonic::Status;
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::error::Error;
use crate::hyper::{Exchange, Hyper, Limits, RequestBody, tower};
use crate::net::SocketListener;
use crate::server::Server;
use deadline::Answer;
use health::Health;

/// gRPC services under one address, as a service for [`Hyper`]. `grpc.health.v1` is among them.
///
/// ```no_run
/// # async fn run() -> Result<(), adieu::Error> {
/// let server = adieu::Grpc::new()
///     // .service(GreeterServer::new(greeter))
///     .bind("[::]:50051")?;
/// # let _ = server;
/// # Ok(())
/// # }
/// ```
///
/// Server reflection comes from tonic-reflection, which weighs two crates more. It answers from a task
/// of tokio's, so it needs a runtime that is entered on the thread of the supervisor:
///
/// ```no_run
/// # fn build(descriptors: &[u8]) -> Result<adieu::Grpc, Box<dyn std::error::Error>> {
/// # use tokio::runtime::Builder;
/// // In main; both are kept until the run is over.
/// let runtime = Builder::new_multi_thread().worker_threads(1).build()?;
/// let _entered = runtime.enter();
///
/// let reflection = tonic_reflection::server::Builder::configure()
///     .register_encoded_file_descriptor_set(descriptors)
///     .build_v1()?;
/// let grpc = adieu::Grpc::new().service(reflection);
/// # Ok(grpc)
/// # }
/// ```
///
/// A `grpc-timeout` that a client sends is kept, by the supervisor's clock: a call that is not answered in time, or whose
/// stream of answers has not begun, ends as DEADLINE_EXCEEDED.
pub struct Grpc {
    routes: HashMap<&'static str, Route>,
    health: HealthReporter,
    end_streams: bool,
}

type Route = Box<
    dyn Service<Request<RequestBody>, Response = Answer, Error = Infallible, Future = Answering>,
>;
type Answering = Pin<Box<dyn Future<Output = Result<Answer, Infallible>>>>;

impl Default for Grpc {
    fn default() -> Grpc {
        Grpc::new()
    }
}

impl fmt::Debug for Grpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes.keys()).finish()
    }
}

impl Grpc {
    /// The health service alone.
    pub fn new() -> Grpc {
        let health = HealthReporter::new();
        let service = Health::new(HealthService::from_health_reporter(health.clone()));
        let mut grpc = Grpc { routes: HashMap::new(), health, end_streams: false };
        grpc.route(HealthServer::new(service));
        grpc
    }

    /// Adds a service as tonic generates it, or one wrapped in an interceptor. For the health service it
    /// is serving from now on; [`health`](Grpc::health) can change that.
    pub fn service<S>(mut self, service: S) -> Grpc
    where
        S: tower_service::Service<Request<RequestBody>, Response = Answer, Error = Infallible>
            + NamedService
            + Clone
            + 'static,
    {
        // It does not wait: nobody has seen the reporter yet who could hold its lock.
        smol::block_on(self.health.set_service_status(S::NAME, ServingStatus::Serving));
        self.route(service);
        self
    }

    fn route<S>(&mut self, service: S)
    where
        S: tower_service::Service<Request<RequestBody>, Response = Answer, Error = Infallible>
            + NamedService
            + Clone
            + 'static,
    {
        self.routes.insert(S::NAME, Box::new(tower(service)));
    }

    /// Sets whether streams of answers end with the drain: what they have ready is still sent, then the client gets
    /// UNAVAILABLE and may call again elsewhere. If not, the drain waits for them. Default: false, since a client
    /// cannot tell such an end from a failure. A service can also end a stream of its own with
    /// [`Exchange::until_shutdown`]; then the client sees OK.
    ///
    /// Calls that have not been answered yet finish in any case.
    pub fn end_streams(mut self, end: bool) -> Grpc {
        self.end_streams = end;
        self
    }

    /// Where the health of the services is told. It is at first SERVING for each, and for all of
    /// them under the name ""; while the run is not [ready](crate::Status::is_ready), what is SERVING here is told
    /// as NOT_SERVING.
    pub fn health(&self) -> HealthReporter {
        self.health.clone()
    }

    /// The limits that [`bind`](Grpc::bind) sets: the default [`Limits`] but for three. A stream of messages may
    /// be as long as it likes and rest for as long as it likes, so the body of a request has no limit in
    /// size (tonic limits each message to 4 MiB), and none in time or rate.
    pub fn limits() -> Limits {
        Limits { body_size: u64::MAX, body_time: Duration::MAX, body_rate: 0, ..Limits::default() }
    }

    /// Binds a TCP or Unix socket (see [`SocketListener::bind`]) and serves all of it there, within
    /// [these limits](Grpc::limits). `Server::limits` sets others.
    pub fn bind(self, address: &str) -> Result<Server<SocketListener, Hyper<Grpc>>, Error> {
        Ok(Hyper::bind(address, self)?.limits(Grpc::limits()))
    }
}

impl Service<Request<RequestBody>> for Grpc {
    type Response = Answer;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<RequestBody>) -> Answering {
        // A path is `/package.Service/Method`.
        let service = request.uri().path().split('/').nth(1).unwrap_or_default();
        let exchange = request.extensions().get::<Exchange>().cloned();
        let limit = deadline::of(request.headers());
        let time = exchange.as_ref().zip(limit).map(|(exchange, limit)| exchange.sleep(limit));
        let Some(route) = self.routes.get(service) else {
            let unknown = Status::unimplemented(format!("there is no service {service:?}"));
            return Box::pin(std::future::ready(Ok(unknown.into_http())));
        };
        let mut answer = route.call(request);
        if let Some(time) = time {
            answer = Box::pin(deadline::within(time, answer));
        }
        match exchange.filter(|_| self.end_streams) {
            Some(exchange) => Box::pin(async move {
                answer.await.map(|answer| ending::with_shutdown(answer, &exchange))
            }),
            None => answer,
        }
    }
}
