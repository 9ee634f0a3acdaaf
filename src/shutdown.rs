//! The one-way change that everybody can see: a channel that never carries a value.
//!
//! async-channel hands each *message* to one receiver; closing the channel reaches
//! all of them. So nothing is ever sent, and [`Trigger::shut_down`] closes.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use futures_lite::future;

/// The default grace period: the time from the cause to the deadline.
pub const GRACE: Duration = Duration::from_secs(10);

/// How far a run, or one of its services, has come. Phases only ever go forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The services are being started, or one of them has held readiness back ever since.
    Starting,
    /// All services were ready once, and no cause to stop has come.
    Serving,
    /// Still accepting, but not ready: answers ask clients to go elsewhere.
    LameDuck,
    /// Listeners and idle connections are closed; work in flight may finish.
    Draining,
    /// All is over.
    Ended,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Phase; 5] =
        [Phase::Starting, Phase::Serving, Phase::LameDuck, Phase::Draining, Phase::Ended];
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Starting => "starting",
            Phase::Serving => "serving",
            Phase::LameDuck => "lame duck",
            Phase::Draining => "draining",
            Phase::Ended => "ended",
        })
    }
}

/// Makes a trigger and the shutdown it begins.
///
/// ```
/// let (trigger, shutdown) = adieu::shutdown();
/// assert!(!shutdown.has_begun());
/// trigger.shut_down();
/// assert!(shutdown.has_begun());
/// ```
pub fn shutdown() -> (Trigger, Shutdown) {
    let (sender, receiver) = async_channel::bounded(1);
    (Trigger(sender), Shutdown(receiver))
}

/// Begins a [`Shutdown`]. Clones begin the same one; dropping the last one begins it too,
/// so that nobody waits for a trigger that no longer exists.
#[derive(Clone, Debug)]
pub struct Trigger(Sender<Infallible>);

impl Trigger {
    /// Begins the shutdown. Repeats are no-ops.
    pub fn shut_down(&self) {
        self.0.close();
    }
}

/// A shutdown that may begin. Every clone sees it at once.
#[derive(Clone, Debug)]
pub struct Shutdown(Receiver<Infallible>);

impl Shutdown {
    /// Whether the shutdown has begun.
    pub fn has_begun(&self) -> bool {
        self.0.is_closed()
    }

    /// Waits for the shutdown to begin. Cancel-safe; may be awaited any number of times.
    pub async fn begun(&self) {
        let Err(_closed) = self.0.recv().await;
    }

    /// Runs `work` until it is done or the shutdown begins, whichever comes first.
    ///
    /// `None` means that the shutdown came first and `work` was dropped where it stood.
    /// The shutdown is looked at first, or work that is always ready would hide it.
    pub async fn race<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let told = async {
            self.begun().await;
            None
        };
        future::or(told, async { Some(work.await) }).await
    }
}
