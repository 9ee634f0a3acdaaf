//! The signals that ask a process to end, as a stream.
//!
//! The stream is async-signal's. Beside it, inside the signal handler itself, stands the [`Watchdog`].

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

pub use async_signal::Signal;
use futures_lite::{Stream, StreamExt, ready};
use log::error;

use super::terms::Terms;
use super::watchdog::Watchdog;
use crate::base::sys;
use crate::error::Error;
use crate::words::LOG;

/// The signals that ask a process to end.
const ASKING: [Signal; 4] = [Signal::Int, Signal::Term, Signal::Quit, Signal::Hup];

/// Where a run's signals come from: any stream of them, or the process itself ([`signals`]).
pub trait SignalSource {
    /// The stream, for a run that is to end on these terms.
    fn signals(self, terms: Terms) -> impl Stream<Item = Signal>;

    /// What a SIGHUP among them means. Default: [`Hangup::ShutDown`].
    fn hangup(&self) -> Hangup {
        Hangup::ShutDown
    }
}

/// What SIGHUP means to a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hangup {
    /// It begins the shutdown, and as a second signal it aborts, like SIGTERM.
    #[default]
    ShutDown,
    /// It asks the services to [reload](crate::Context::reloads). During the shutdown it is ignored.
    Reload,
}

impl Hangup {
    /// Takes those that ask for a reload out of a stream of signals, and calls `reload` for each.
    pub(crate) fn divert(
        self,
        signals: impl Stream<Item = Signal>,
        reload: impl Fn(),
    ) -> impl Stream<Item = Signal> {
        signals.filter(move |signal| {
            let is_reload = self == Hangup::Reload && *signal == Signal::Hup;
            if is_reload {
                reload();
            }
            !is_reload
        })
    }
}

impl<S: Stream<Item = Signal>> SignalSource for S {
    fn signals(self, _terms: Terms) -> impl Stream<Item = Signal> {
        self
    }
}

/// Installs handlers for the signals that ask a process to end. From now on a first one is kept for the run.
///
/// SIGINT and SIGTERM begin the shutdown, and so does SIGHUP, unless the process was started to
/// ignore it (nohup(1)). SIGQUIT ends the run without a grace period: what is in flight is cut off
/// and named. A second signal, 100 ms after the first or later, ends the process with status 128 + n.
/// Where the process was started with one of these signals or SIGALRM blocked, it is unblocked.
///
/// Call it early, so that a signal during the start is honoured too. The second signal acts from
/// within the signal handler, and one second past the deadline SIGALRM ends the process with 124:
/// both work while a handler blocks the thread or a log line blocks on a full pipe. SIGALRM and the
/// process's real interval timer (setitimer(2)) belong to this watchdog from the first signal on;
/// before, SIGALRM is ignored. Once the value is dropped, or its run is over, nobody listens: then a
/// signal ends the process.
///
/// All of this holds for process 1 of a container too, for which the system would ignore a signal
/// that has no handler.
pub fn signals() -> Result<Signals, Error> {
    let mut asking = ASKING.to_vec();
    asking.retain(|&signal| signal != Signal::Hup || !sys::is_ignored(signal as i32));
    // The stream first: a signal that finds only the handler there would never be heard of.
    let stream = async_signal::Signals::new(&asking).map_err(Error::Signals)?;
    let watchdog = Watchdog::install(&asking).map_err(Error::Signals)?;
    // Last: one that has waited, perhaps since before exec(2), comes now. The watchdog needs SIGALRM.
    let numbers = asking.iter().map(|&signal| signal as i32);
    sys::unblock(numbers.chain([libc::SIGALRM])).map_err(Error::Signals)?;
    Ok(Signals { watchdog, stream, hangup: Hangup::default(), heard: false })
}

/// The process's own signals; made by [`signals`].
#[derive(Debug)]
pub struct Signals {
    watchdog: Arc<Watchdog>,
    stream: async_signal::Signals,
    hangup: Hangup,
    /// The run knows of the first one.
    heard: bool,
}

impl Signals {
    /// Sets what SIGHUP means. Default: [`Hangup::ShutDown`]. Set it right after [`signals`]: until then a
    /// second SIGHUP ends the process, as a second signal does.
    ///
    /// If the process was started to ignore SIGHUP (nohup(1)), it stays ignored, and nothing reloads.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), adieu::Error> {
    /// # let supervisor = adieu::Supervisor::new();
    /// let signals = adieu::signals()?.hangup(adieu::Hangup::Reload);
    /// supervisor.run(signals).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn hangup(mut self, hangup: Hangup) -> Signals {
        self.hangup = hangup;
        self.watchdog.set_hangup(hangup == Hangup::Reload);
        self
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.watchdog.stop_listening();
    }
}

impl SignalSource for Signals {
    fn signals(self, terms: Terms) -> impl Stream<Item = Signal> {
        self.watchdog.set_terms(&terms);
        self.watchdog.watch(terms.polled().clone());
        Heard(self)
    }

    fn hangup(&self) -> Hangup {
        self.hangup
    }
}

/// Not public: [`Signals`] must not be a `Stream`, or it would be two kinds of [`SignalSource`].
struct Heard(Signals);

impl Stream for Heard {
    type Item = Signal;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Signal>> {
        loop {
            match ready!(self.0.stream.poll_next(cx)) {
                Some(Ok(Signal::Hup)) if self.0.hangup == Hangup::Reload => {
                    return Poll::Ready(Some(Signal::Hup));
                }
                // A later one has ended the process already, or belongs to the pair of the first, or is
                // to be ignored. But a SIGQUIT that is here means that the run shall not wait.
                Some(Ok(signal)) => {
                    let first = !std::mem::replace(&mut self.0.heard, true);
                    if first || signal == Signal::Quit {
                        self.0.watchdog.hear();
                        return Poll::Ready(Some(signal));
                    }
                }
                // The pipe behind the stream has failed: the handler still works.
                Some(Err(error)) => error!(target: LOG, error:%; "cannot read signals: {error}"),
                None => return Poll::Ready(None),
            }
        }
    }
}
