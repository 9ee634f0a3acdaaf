//! What happens inside the signal handler: see [`sys::on_signal`] for the rules in there.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use async_signal::Signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::exit::ExitCodes;
use crate::supervisor::GRACE;
use crate::sys;

/// How long past the deadline the executor may be blocked.
const MARGIN: Duration = Duration::from_secs(1);

/// Two signals closer together than this, of which the first has not been heard yet, are one
/// request: timeout(1) signals its child and then, microseconds later, its whole process group.
const ECHO: Duration = Duration::from_millis(10);

/// No code of its own for an abort: 128 plus the signal's number.
const BY_SIGNAL: u16 = u16::MAX;

#[derive(Debug)]
pub(crate) struct Handler {
    listening: AtomicBool,
    /// Whether the run has taken note of the first signal.
    heard: AtomicBool,
    /// When the first signal came, in nanoseconds of the monotonic clock; 0 before.
    first: AtomicU64,
    /// From the first signal to the watchdog, in microseconds.
    patience: AtomicU64,
    /// Whether a second signal that is not SIGQUIT ends the process.
    second_aborts: AtomicBool,
    blocked_code: AtomicU8,
    abort_code: AtomicU16,
}

impl Handler {
    pub(crate) fn install(signals: &[Signal]) -> io::Result<Arc<Handler>> {
        let handler = Arc::new(Handler {
            listening: AtomicBool::new(true),
            heard: AtomicBool::new(false),
            first: AtomicU64::new(0),
            patience: AtomicU64::new(0),
            second_aborts: AtomicBool::new(true),
            blocked_code: AtomicU8::new(0),
            abort_code: AtomicU16::new(0),
        });
        handler.set_grace(GRACE);
        handler.set_codes(ExitCodes::default());
        let watchdog = handler.clone();
        sys::on_signal(libc::SIGALRM, move || {
            let last_word = "adieu: still blocked one second past the deadline, giving up\n";
            end(last_word, watchdog.blocked_code.load(SeqCst))
        })?;
        for &signal in signals {
            let handler = handler.clone();
            sys::on_signal(signal as i32, move || handler.on_signal(signal as i32))?;
        }
        Ok(handler)
    }

    pub(crate) fn set_grace(&self, grace: Duration) {
        let patience = grace.saturating_add(MARGIN).as_micros();
        self.patience.store(u64::try_from(patience).unwrap_or(u64::MAX), SeqCst);
    }

    pub(crate) fn set_codes(&self, codes: ExitCodes) {
        self.blocked_code.store(codes.cut_off, SeqCst);
        self.abort_code.store(codes.aborted.map_or(BY_SIGNAL, u16::from), SeqCst);
    }

    pub(crate) fn set_second_aborts(&self, aborts: bool) {
        self.second_aborts.store(aborts, SeqCst);
    }

    /// The run has taken note of a signal. Tells whether it was the first.
    pub(crate) fn acknowledge(&self) -> bool {
        !self.heard.swap(true, SeqCst)
    }

    /// Nobody will read the stream any more; the watchdog is called off.
    pub(crate) fn stop_listening(&self) {
        self.listening.store(false, SeqCst);
        sys::set_alarm(0);
    }

    fn on_signal(&self, number: i32) {
        let now = monotonic();
        if !self.listening.load(SeqCst) {
            end("", self.abort_code(number));
        }
        match self.first.compare_exchange(0, now, SeqCst, SeqCst) {
            // SIGQUIT has no grace period.
            Ok(_) if number == libc::SIGQUIT => sys::set_alarm(MARGIN.as_micros() as u64),
            Ok(_) => sys::set_alarm(self.patience.load(SeqCst)),
            Err(first) => {
                let echo = now.saturating_sub(first) < ECHO.as_nanos() as u64;
                let aborts = number == libc::SIGQUIT || self.second_aborts.load(SeqCst);
                if aborts && (self.heard.load(SeqCst) || !echo) {
                    end("adieu: aborted by a second signal\n", self.abort_code(number));
                }
            }
        }
    }

    fn abort_code(&self, number: i32) -> u8 {
        match self.abort_code.load(SeqCst) {
            BY_SIGNAL => 128 + number as u8,
            code => code as u8,
        }
    }
}

/// Ends the process, with a last word if standard error takes it without blocking.
fn end(last_word: &str, status: u8) -> ! {
    // rustix calls poll(2) and write(2) directly. A pipe that poll(2) calls writable takes
    // PIPE_BUF (4096) bytes, so the write cannot block.
    let stderr = rustix::stdio::stderr();
    let mut fds = [PollFd::from_borrowed_fd(stderr, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    if matches!(poll(&mut fds, Some(&now)), Ok(1)) && fds[0].revents().contains(PollFlags::OUT) {
        let _ = rustix::io::write(stderr, last_word.as_bytes());
    }
    sys::end_at_once(status.into())
}

/// Nanoseconds of the monotonic clock, never 0.
fn monotonic() -> u64 {
    // A system call (or its vDSO form), async-signal-safe by POSIX's list.
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    (now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64).max(1)
}
