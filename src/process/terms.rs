//! How a run is to end, as far as its signals have to know.

use std::sync::Arc;
use std::time::Duration;

use crate::register::Polled;
use crate::report::ExitCodes;
use crate::shutdown::GRACE;

/// Two signals closer together than this are one request (rule 7): timeout(1) signals its child and
/// then its whole process group, and a terminal's hang-up may come with a SIGTERM.
pub(crate) const PAIR: Duration = Duration::from_millis(100);

/// How a run is to end, as its [`SignalSource`](crate::SignalSource) is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Terms {
    /// The time from the cause to the deadline.
    pub grace: Duration,
    /// The exit status for each way to end.
    pub exit_codes: ExitCodes,
    /// Whether a second signal ends the run at once.
    pub second_signal_aborts: bool,
    polled: Arc<Polled>,
}

impl Terms {
    /// What the thread is busy with, for the watchdog's last line.
    pub(crate) fn polled(&self) -> &Arc<Polled> {
        &self.polled
    }
}

impl Default for Terms {
    fn default() -> Terms {
        Terms {
            grace: GRACE,
            exit_codes: ExitCodes::default(),
            second_signal_aborts: true,
            polled: Arc::default(),
        }
    }
}
