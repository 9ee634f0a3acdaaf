//! What answers requests: a [`Handler`], and the [`Exchange`] it is handed.

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_types::{Request, Response};

use super::guard::Head;
use crate::net::Peer;
use crate::service::Context;
use crate::shutdown::Shutdown;

/// An async function that answers requests.
///
/// Implemented for `async fn(Request) -> http_types::Result<Response>`, and for the same with an
/// [`Exchange`] as a second argument. It need not be `Send` and may hold an `Rc`. An error is
/// answered with the error's status and without its text; a panic is answered with 500.
///
/// A request whose target or host the URL of a [`Request`] would change is refused with 400, but for what
/// [`Exchange::target`] tells.
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
    head: Arc<Head>,
    cx: Rc<Context>,
}

impl Exchange {
    pub(super) fn new(peer: Peer, head: Arc<Head>, cx: Rc<Context>) -> Exchange {
        Exchange { peer, head, cx }
    }

    /// Who sent the request.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The request target as the client sent it: path and query, or a URL if the client took this server
    /// for a proxy.
    ///
    /// The URL of a [`Request`] is what the engine makes of it, which differs in two ways: dot
    /// segments are resolved (`/a/../b` and `/a/%2e%2e/b` become `/b`), and `'` in a query becomes `%27`.
    /// If a handler decides by the path what a client may have, it should use the same form for the
    /// decision and for what it does: this one, or the URL's.
    pub fn target(&self) -> &str {
        self.head.target()
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

    /// Begins the shutdown of the whole run, as [`Context::shut_down`] does. This request is in flight, and is
    /// answered.
    pub fn shut_down(&self) {
        self.cx.shut_down();
    }

    /// Sleeps for `duration` by the supervisor's clock. Cancel-safe.
    pub async fn sleep(&self, duration: Duration) {
        self.cx.sleep(duration).await;
    }

    /// Spawns a task that belongs to the service, for instance one that drives an upgraded
    /// connection: the drain waits for it, the deadline ends it. See [`Context::spawn`].
    #[track_caller]
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.cx.spawn(task);
    }

    /// Runs work that blocks on another thread, and waits for what it comes to. See [`Context::unblock`].
    #[track_caller]
    pub fn unblock<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + 'static {
        self.cx.unblock(work)
    }
}
