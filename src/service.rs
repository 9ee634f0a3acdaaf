//! What a supervisor supervises: a [`Service`], and the [`Context`] it is handed.

use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_lite::Stream;

use crate::base::clock::Clock;
use crate::error::BoxError;
use crate::group::Member;
use crate::register::Register;
use crate::shutdown::Shutdown;
use crate::status::{NotReady, Status};

/// One thing that serves until it is asked to stop.
///
/// A [`Server`](crate::Server) is one, and so is any `async fn(Context) -> Result<(), E>`:
///
/// ```
/// use std::time::Duration;
///
/// async fn ticker(cx: adieu::Context) -> Result<(), std::io::Error> {
///     while cx.shutdown().race(cx.sleep(Duration::from_secs(1))).await.is_some() {
///         log::info!("tick");
///     }
///     Ok(())
/// }
/// # let _ = adieu::Supervisor::new().service("ticker", ticker);
/// ```
pub trait Service: 'static {
    /// Serves until the work is done or [`Context::shutdown`] has begun.
    ///
    /// `Ok` ends this service alone; an error or a panic is a cause for all to shut down. What was
    /// spawned with [`Context::spawn`] still belongs to the service afterwards, and is awaited.
    /// When its time is over the future is dropped wherever it is.
    fn serve(self, cx: Context) -> impl Future<Output = Result<(), BoxError>> + 'static;
}

impl<F, Fut, E> Service for F
where
    F: FnOnce(Context) -> Fut + 'static,
    Fut: Future<Output = Result<(), E>> + 'static,
    E: Into<BoxError> + 'static,
{
    async fn serve(self, cx: Context) -> Result<(), BoxError> {
        self(cx).await.map_err(Into::into)
    }
}

/// What a service is handed: its name, the shutdown to watch, the time, and a place for its tasks.
#[derive(Clone)]
pub struct Context {
    name: Rc<str>,
    stage: usize,
    shutdown: Shutdown,
    status: Status,
    register: Rc<Register>,
    member: Member,
    /// Where the server listens that was handed this; empty for any other service.
    address: Rc<str>,
}

impl Context {
    pub(crate) fn new(
        name: Rc<str>,
        stage: usize,
        shutdown: Shutdown,
        status: Status,
        register: Rc<Register>,
        member: Member,
    ) -> Context {
        Context { name, stage, shutdown, status, register, member, address: "".into() }
    }

    /// The same for a server that listens there.
    pub(crate) fn listening_on(self, address: &str) -> Context {
        Context { address: address.into(), ..self }
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The name under which the service was added.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shutdown that this service should watch.
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// The instant at which whatever is left of this service will be cut off; `None` before there is
    /// a cause to stop. It is earlier than the [run's deadline](Status::deadline) if later stages
    /// have [reserved](crate::Supervisor::reserve) time.
    pub fn deadline(&self) -> Option<Instant> {
        self.status.until(self.stage)
    }

    /// The time left until the [`deadline`](Context::deadline).
    pub fn time_left(&self) -> Option<Duration> {
        Some(self.deadline()?.saturating_duration_since(self.clock().now()))
    }

    /// Begins the shutdown of the whole run, as a [`Trigger`](crate::Trigger) does. Repeats are no-ops.
    pub fn shut_down(&self) {
        self.status.causes().trigger().shut_down();
    }

    /// Says that the run is not ready, and why, until what is returned is dropped.
    ///
    /// Take it before the service waits for anything, to hold back the start: the run is
    /// [starting](crate::Phase::Starting) until nobody holds it any more. Take it at any later time if work
    /// should go elsewhere for a while. Meanwhile `/readyz` answers 503 with `name: reason`, gRPC's health
    /// service says NOT_SERVING, and systemd is not told `READY=1` at the start. Connections are accepted and
    /// served all the same. Several may be held at once; each counts.
    ///
    /// ```
    /// # async fn load() -> std::io::Result<()> { Ok(()) }
    /// async fn api(cx: adieu::Context) -> std::io::Result<()> {
    ///     let warming_up = cx.not_ready("loading the cache");
    ///     load().await?;
    ///     drop(warming_up);
    ///     cx.shutdown().begun().await;
    ///     Ok(())
    /// }
    /// # let _ = adieu::Supervisor::new().service("api", api);
    /// ```
    pub fn not_ready(&self, reason: impl Into<String>) -> NotReady {
        self.status.hold_readiness(&self.name, reason.into())
    }

    /// The reloads that are asked for from now on: by SIGHUP, if the run's signals are
    /// [told so](crate::Signals::hangup). The stream ends when the service is told to stop.
    ///
    /// When the service asks the stream for the next one, it is done with the one before; dropping the stream
    /// says so too. When all are done, systemd is told. Reloads that are asked for while a service is busy
    /// with one are one more for it. Waiting for the next is cancel-safe.
    ///
    /// ```
    /// use futures_lite::StreamExt;
    ///
    /// async fn api(cx: adieu::Context) -> std::io::Result<()> {
    ///     let mut reloads = cx.reloads();
    ///     let mut words = std::fs::read_to_string("words.txt")?;
    ///     while reloads.next().await.is_some() {
    ///         words = std::fs::read_to_string("words.txt")?;
    ///     }
    /// #   drop(words);
    ///     Ok(())
    /// }
    /// # let _ = adieu::Supervisor::new().service("api", api);
    /// ```
    pub fn reloads(&self) -> impl Stream<Item = ()> + Unpin + 'static {
        Box::pin(self.status.reloads(self.shutdown.clone()))
    }

    /// The run that the service belongs to, to be looked at.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// The supervisor's clock.
    pub fn clock(&self) -> &dyn Clock {
        &**self.status.clock()
    }

    /// Sleeps for `duration` by the supervisor's clock. Cancel-safe.
    pub async fn sleep(&self, duration: Duration) {
        if let Some(at) = self.clock().now().checked_add(duration) {
            self.clock().sleep_until(at).await;
        } else {
            std::future::pending().await
        }
    }

    /// Sleeps for the sake of a peer that has nothing in flight: for `duration`, but not past the
    /// deadline, and not when the run is told to wait for nobody. Cancel-safe.
    pub(crate) async fn sleep_in_time(&self, duration: Duration) {
        let duration = self.time_left().map_or(duration, |left| duration.min(left));
        if !duration.is_zero() {
            self.status.rushed().race(self.sleep(duration)).await;
        }
    }

    pub(crate) fn register(&self) -> &Rc<Register> {
        &self.register
    }

    /// The service's place in its group, where connections are spawned.
    pub(crate) fn member(&self) -> &Member {
        &self.member
    }
}
