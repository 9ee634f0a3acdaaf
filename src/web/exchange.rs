//! What a handler may want to know besides the request, on either engine.

use std::cell::OnceCell;
use std::fmt;
use std::future::{Future, pending};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use smol::Timer;

use super::here::Here;
use super::until::UntilShutdown;
use crate::net::Peer;
use crate::server::Connection;
use crate::shutdown::{Shutdown, Trigger, shutdown};
#[cfg(feature = "grpc")]
use crate::status::Ready;

/// What a handler may want to know besides the request, and what it may ask of the server.
///
/// A handler of [`Http`](crate::Server) takes it as its second argument. Behind `Hyper` and `Grpc` it is an
/// extension of every request:
///
/// ```
/// # #[cfg(feature = "hyper")]
/// # fn service(request: adieu::hyper::hyper::Request<()>) {
/// let exchange = request.extensions().get::<adieu::Exchange>();
/// let draining = exchange.is_some_and(|exchange| exchange.shutdown().has_begun());
/// # }
/// ```
///
/// It is thread-safe, as extensions must be. What needs the thread of the run says so.
#[derive(Clone)]
pub struct Exchange(Arc<Known>);

struct Known {
    served: Arc<Served>,
    peer: Peer,
    target: Arc<dyn AsRef<str> + Send + Sync>,
    client: Mutex<Client>,
}

/// Whether the client is there, as far as a handler has asked.
enum Client {
    /// Nobody has asked. The connection's task is woken when somebody does, if it wants to know.
    There(Option<Waker>),
    /// Somebody waits for it to go.
    Watched(Trigger, Shutdown),
    Gone,
}

/// The same for all requests of a server.
struct Served {
    shutdown: Shutdown,
    leaving: Shutdown,
    requested: Trigger,
    #[cfg(feature = "grpc")]
    ready: Ready,
    /// The number of the server's context among those of its thread.
    number: u64,
}

/// Makes the exchanges of one server.
#[derive(Default)]
pub(crate) struct Exchanges(OnceCell<(Arc<Served>, Rc<Here>)>);

impl Exchanges {
    /// Makes that of one request. `target`: as the client has sent it.
    pub(crate) fn exchange(
        &self,
        connection: &Connection,
        target: Arc<dyn AsRef<str> + Send + Sync>,
    ) -> Exchange {
        let (served, _) = self.0.get_or_init(|| {
            let here = Here::new(connection.context());
            (Arc::new(Served::new(&here)), here)
        });
        let served = served.clone();
        let (peer, client) = (connection.peer().clone(), Mutex::new(Client::There(None)));
        Exchange(Arc::new(Known { served, peer, target, client }))
    }
}

impl Served {
    fn new(cx: &Here) -> Served {
        Served {
            shutdown: cx.shutdown().clone(),
            leaving: cx.status().leaving().clone(),
            requested: cx.status().causes().trigger().clone(),
            #[cfg(feature = "grpc")]
            ready: cx.status().ready().clone(),
            number: cx.number(),
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Exchange").field(self.peer()).field(self.shutdown()).finish()
    }
}

impl Exchange {
    /// Who sent the request.
    pub fn peer(&self) -> &Peer {
        &self.0.peer
    }

    /// The request target as the client sent it: path and query, or a URL if the client took this server
    /// for a proxy. Over HTTP/2 it is path and query.
    ///
    /// The URL of a request of http-types is what the engine makes of it, which differs in two ways: dot
    /// segments are resolved (`/a/../b` and `/a/%2e%2e/b` become `/b`), and `'` in a query becomes `%27`.
    /// If a handler decides by the path what a client may have, it should use the same form for the
    /// decision and for what it does: this one, or the URL's.
    pub fn target(&self) -> &str {
        (*self.0.target).as_ref()
    }

    /// The shutdown of the service, which begins with the drain: a long answer should come to an end once it
    /// has begun. See also [`until_shutdown`](Exchange::until_shutdown).
    pub fn shutdown(&self) -> &Shutdown {
        &self.0.served.shutdown
    }

    /// Whether the [shutdown](Exchange::shutdown) has begun.
    pub fn draining(&self) -> bool {
        self.shutdown().has_begun()
    }

    /// Begins with the first cause to stop: from then on, in the lame duck already, clients are sent elsewhere.
    pub fn leaving(&self) -> &Shutdown {
        &self.0.served.leaving
    }

    /// The time left until the answer is cut off; `None` before there is a cause to stop, and on any other
    /// thread than that of the run.
    pub fn time_left(&self) -> Option<Duration> {
        self.context()?.time_left()
    }

    /// Begins the shutdown of the whole run, as [`Context::shut_down`](crate::Context::shut_down) does. This request is in flight, and is
    /// answered.
    pub fn shut_down(&self) {
        self.0.served.requested.shut_down();
    }

    /// Waits until the client is gone: it has reset the connection, or over HTTP/2 the stream, or has closed it
    /// for good. If the answer has been sent before, it never does. Cancel-safe.
    ///
    /// A client that has only closed its side may still wait for its answer, and so may one that has gone
    /// without a trace: the two look the same. Over HTTP/1.1 the server then asks, once, with an interim `100
    /// Continue`, which every client of HTTP/1.1 must skip; the system of a client that is gone refuses it.
    ///
    /// Clients are watched while the server waits for the handler, as long as nothing has come from them that it
    /// has not read yet. What is awaited here need not be polled by the handler: a task that was spawned may do it.
    pub fn client_gone(&self) -> impl Future<Output = ()> + Send + Sync + use<> {
        let gone = match &mut *self.client() {
            Client::Gone => None,
            Client::Watched(_, gone) => Some(gone.clone()),
            client @ Client::There(_) => {
                let (trigger, gone) = shutdown();
                let watched = Client::Watched(trigger, gone.clone());
                if let Client::There(Some(waker)) = std::mem::replace(client, watched) {
                    waker.wake();
                }
                Some(gone)
            }
        };
        // The trigger is in there: it must not go before somebody says so.
        let exchange = self.clone();
        async move {
            if let Some(gone) = gone {
                gone.begun().await;
            }
            drop(exchange);
        }
    }

    fn client(&self) -> MutexGuard<'_, Client> {
        // Nothing in here panics with the lock.
        self.0.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody waits for the client to go. If not, the task of `cx` is woken when somebody does.
    pub(crate) fn is_client_watched(&self, cx: &Context<'_>) -> bool {
        match &mut *self.client() {
            Client::There(waker) => {
                *waker = Some(cx.waker().clone());
                false
            }
            Client::Watched(..) => true,
            Client::Gone => false,
        }
    }

    /// Says that the client is gone.
    pub(crate) fn note_client_gone(&self) {
        if let Client::Watched(trigger, _) = std::mem::replace(&mut *self.client(), Client::Gone) {
            trigger.shut_down();
        }
    }

    /// Has a stream, or the body of an answer, end by itself when the [shutdown](Exchange::shutdown) has begun:
    /// what it has ready is still sent, and its client is told a clean end. Bodies of the type `text/event-stream`
    /// need no such thing, they end like that anyway.
    ///
    /// It is for streams that would never end, and whose clients come back by themselves. See [`UntilShutdown`].
    pub fn until_shutdown<S>(&self, stream: S) -> UntilShutdown<S> {
        UntilShutdown::new(stream, self.shutdown())
    }

    /// Sleeps by the supervisor's clock; on any other thread than that of the run by the system's. It counts from this
    /// call on. Cancel-safe.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + Sync + use<> {
        let sleep = self.context().map(|cx| {
            let clock = cx.clock();
            clock.now().checked_add(duration).map(|at| clock.sleep_until(at))
        });
        async move {
            match sleep {
                Some(Some(sleep)) => sleep.await,
                Some(None) => pending().await,
                None => drop(Timer::after(duration).await),
            }
        }
    }

    /// Spawns a task that belongs to the service, for instance one that drives an upgraded
    /// connection: the drain waits for it, the deadline ends it. See
    /// [`Context::spawn`](crate::Context::spawn).
    ///
    /// # Panics
    ///
    /// On any other thread than that of the run.
    #[track_caller]
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.here().spawn(task);
    }

    /// Runs work that blocks on another thread, and waits for what it comes to. See
    /// [`Context::unblock`](crate::Context::unblock).
    ///
    /// # Panics
    ///
    /// On any other thread than that of the run; and if `work` panics, so does whoever awaits the future.
    #[track_caller]
    pub fn unblock<T: Send + 'static, W: FnOnce() -> T + Send + 'static>(
        &self,
        work: W,
    ) -> impl Future<Output = T> + Send + use<T, W> {
        self.here().unblock(work)
    }

    /// The context of the service; `None` on another thread, or after the end of the server and of all tasks that
    /// were spawned here.
    fn context(&self) -> Option<Rc<Here>> {
        Here::find(self.0.served.number)
    }

    #[track_caller]
    fn here(&self) -> Rc<Here> {
        self.context().expect("the service runs, and on this thread")
    }

    #[cfg(feature = "grpc")]
    pub(crate) fn ready(&self) -> &Ready {
        &self.0.served.ready
    }
}
