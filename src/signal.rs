//! The process layer: SIGINT and SIGTERM as a stream, the second signal, the watchdog, [`exit`].
//!
//! The stream is async-signal's. Beside it, inside the signal handler itself, stand the two
//! promises that must hold even when the one thread is stuck: a second signal ends the process
//! at once, and after the first one an interval timer does so one second past the deadline.

use std::future::Future;
use std::io::{self, Write};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

pub use async_signal::Signal;
use futures_lite::{Stream, StreamExt, ready};

use crate::error::Error;
use crate::handler::Handler;
use crate::report::Report;

/// The signals that ask a process to end.
const ASKING: [Signal; 2] = [Signal::Int, Signal::Term];

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

/// Installs handlers for SIGINT and SIGTERM. From now on a first signal is kept for the run.
///
/// Call it early, so that a signal during the start is honoured too. A second signal ends the
/// process with status 128 + n from the signal handler, and one second past the deadline SIGALRM
/// ends it with 124: both work while a handler blocks the thread or a log line blocks on a full pipe.
/// SIGALRM and the process's real interval timer (setitimer(2)) belong to this watchdog from the first signal on.
/// Once the value is dropped, or its run is over, nobody listens: then the first signal ends the process.
pub fn signals() -> Result<Signals, Error> {
    // The stream first: a signal that finds only the handler there would never be heard of.
    let stream = async_signal::Signals::new(ASKING).map_err(Error::Signals)?;
    let handler = Handler::install(&ASKING).map_err(Error::Signals)?;
    Ok(Signals { handler, stream })
}

/// The process's own signals; made by [`signals`].
#[derive(Debug)]
pub struct Signals {
    handler: Arc<Handler>,
    stream: async_signal::Signals,
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
                Some(Ok(signal)) => {
                    self.0.handler.acknowledge();
                    return Poll::Ready(Some(signal));
                }
                // The pipe behind the stream has failed: the handler still works.
                Some(Err(error)) => log::error!("cannot read signals: {error}"),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// Runs `main` on this thread, and turns what it comes to into the exit code of the process.
///
/// An error is written to standard error, as one line, and exits with its
/// [`exit_status`](Error::exit_status).
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     adieu::exit(async { Ok(adieu::Supervisor::new().run(adieu::signals()?).await) })
/// }
/// ```
pub fn exit(main: impl Future<Output = Result<Report, Error>>) -> ExitCode {
    match smol::block_on(main) {
        Ok(report) => report.exit_code(),
        Err(error) => {
            // Nobody is left to be told if even this cannot be written.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(error.exit_status())
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
            other => write!(f, "signal {}", other as i32),
        }
    }
}
