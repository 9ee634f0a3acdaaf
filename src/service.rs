//! What a supervisor supervises: a [`Service`], and the [`Context`] it is handed.

use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::error::BoxError;
use crate::group::Member;
use crate::register::Register;
use crate::shutdown::Shutdown;
use crate::status::Status;

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
        Context { name, stage, shutdown, status, register, member }
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
