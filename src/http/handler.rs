//! What answers requests: a [`Handler`], and the [`Exchange`] it is handed.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use http_types::{Request, Response};

use crate::net::Peer;
use crate::service::Context;
use crate::shutdown::Shutdown;

/// An async function that answers requests.
///
/// Implemented for `async fn(Request) -> http_types::Result<Response>`, and for the same with an
/// [`Exchange`] as a second argument. It need not be `Send` and may hold an `Rc`. An error is
/// answered with the error's status and without its text; a panic is answered with 500.
///
/// The request's URL is normalized, as the URL standard has it: dot segments are resolved (`/a/../b` and
/// `/a/%2e%2e/b` are `/b`), a `'` in the query is written as `%27`, the host is in lower case. The target as
/// the client sent it is [`Exchange::target`], and the host in the request's `Host` header. A target or a
/// host that would be changed in any other way is refused with 400.
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
    line: Rc<str>,
    cx: Rc<Context>,
}

impl Exchange {
    /// `line` is method and target, as in `GET /path`.
    pub(super) fn new(peer: Peer, line: Rc<str>, cx: Rc<Context>) -> Exchange {
        Exchange { peer, line, cx }
    }

    /// Who sent the request.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Path and query as the client sent them, byte for byte; of a target in absolute form what comes
    /// after the authority.
    pub fn target(&self) -> &str {
        self.line.split_once(' ').map_or("", |(_method, target)| target)
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

    /// Sleeps for `duration` by the supervisor's clock. Cancel-safe.
    pub async fn sleep(&self, duration: Duration) {
        self.cx.sleep(duration).await;
    }

    /// Spawns a task that belongs to the service, for instance one that drives an upgraded
    /// connection: the drain waits for it, the deadline ends it.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.cx.spawn(task);
    }
}
