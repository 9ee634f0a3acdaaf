//! The process layer: the signals that ask a process to end, as a stream; the second one; the watchdog.
//!
//! The stream is async-signal's. Beside it, inside the signal handler itself, stand the two
//! promises that must hold even when the one thread is stuck: a second signal ends the process
//! at once, and after the first one an interval timer does so one second past the deadline.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

pub use async_signal::Signal;
use futures_lite::{Stream, StreamExt, ready};

use crate::error::Error;
use crate::exit::ExitCodes;
use crate::handler::Handler;
use crate::sys;

/// The signals that ask a process to end.
const ASKING: [Signal; 4] = [Signal::Int, Signal::Term, Signal::Quit, Signal::Hup];

/// Where a run's signals come from: any stream of them, or the process itself ([`signals`]).
pub trait SignalSource {
    /// The stream, for a run whose grace period is `grace`.
    fn signals(self, grace: Duration) -> impl Stream<Item = Signal>;
}

impl<S: Stream<Item = Signal>> SignalSource for S {
    fn signals(self, _grace: Duration) -> impl Stream<Item = Signal> {
        self
    }
}

/// Installs handlers for the signals that ask a process to end. From now on a first one is kept for the run.
///
/// SIGINT and SIGTERM begin the shutdown, and so does SIGHUP, unless the process was started to
/// ignore it (nohup(1)). SIGQUIT ends the run without a grace period: what is in flight is cut off
/// and named. A second signal ends the process with status 128 + n.
///
/// Call it early, so that a signal during the start is honoured too. The second signal acts from
/// within the signal handler, and one second past the deadline SIGALRM
/// ends the process with 124: both work while a handler blocks the thread or a log line blocks on a full pipe.
/// SIGALRM and the process's real interval timer (setitimer(2)) belong to this watchdog from the first signal on.
/// Once the value is dropped, or its run is over, nobody listens: then the first signal ends the process.
///
/// All of this holds for process 1 of a container too, for which the system would ignore a signal
/// that has no handler.
pub fn signals() -> Result<Signals, Error> {
    let mut asking = ASKING.to_vec();
    asking.retain(|&signal| signal != Signal::Hup || !sys::is_ignored(signal as i32));
    // The stream first: a signal that finds only the handler there would never be heard of.
    let stream = async_signal::Signals::new(&asking).map_err(Error::Signals)?;
    let handler = Handler::install(&asking).map_err(Error::Signals)?;
    Ok(Signals { handler, stream })
}

/// The process's own signals; made by [`signals`].
#[derive(Debug)]
pub struct Signals {
    handler: Arc<Handler>,
    stream: async_signal::Signals,
}

impl Signals {
    /// Sets whether a second signal ends the process at once. Default: true. If not, only SIGQUIT
    /// does, and repeats of the others are no-ops.
    pub fn second_signal_aborts(self, aborts: bool) -> Signals {
        self.handler.set_second_aborts(aborts);
        self
    }

    /// Sets the exit codes for a second signal and for the watchdog; for the others see
    /// [`exit_with`](crate::exit_with).
    pub fn exit_codes(self, codes: ExitCodes) -> Signals {
        self.handler.set_codes(codes);
        self
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.handler.stop_listening();
    }
}

impl SignalSource for Signals {
    fn signals(self, grace: Duration) -> impl Stream<Item = Signal> {
        self.handler.set_grace(grace);
        Heard(self)
    }
}

/// Not public: [`Signals`] must not be a `Stream`, or it would be two kinds of [`SignalSource`].
struct Heard(Signals);

impl Stream for Heard {
    type Item = Signal;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Signal>> {
        loop {
            match ready!(self.0.stream.poll_next(cx)) {
                // Those behind the first have ended the process already, or are to be ignored.
                Some(Ok(signal)) => {
                    if self.0.handler.acknowledge() {
                        return Poll::Ready(Some(signal));
                    }
                }
                // The pipe behind the stream has failed: the handler still works.
                Some(Err(error)) => log::error!("cannot read signals: {error}"),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// A signal's name as people know it, such as `SIGTERM`.
pub(crate) struct SignalName(pub(crate) Signal);

impl std::fmt::Display for SignalName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Signal::Int => f.write_str("SIGINT"),
            Signal::Term => f.write_str("SIGTERM"),
            Signal::Quit => f.write_str("SIGQUIT"),
            Signal::Hup => f.write_str("SIGHUP"),
            other => write!(f, "signal {}", other as i32),
        }
    }
}
