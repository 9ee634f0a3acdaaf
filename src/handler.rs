//! What happens inside the signal handler. This is the only unsafe code of the crate.
//!
//! A signal handler may run between any two instructions, so it must keep to async-signal-safe
//! functions (signal-safety(7)): no locks, no allocation. All it does is to look at a few atomics
//! and to call clock_gettime, setitimer, poll, write and _exit.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use async_signal::Signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::supervisor::GRACE;

/// The status when the watchdog fires: the deadline was missed, as of timeout(1).
const TIMED_OUT: i32 = 124;

/// How long past the deadline the executor may be blocked.
const MARGIN: Duration = Duration::from_secs(1);

/// Two signals closer together than this, of which the first has not been heard yet, are one
/// request: timeout(1) signals its child and then, microseconds later, its whole process group.
const ECHO: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(crate) struct Handler {
    listening: AtomicBool,
    /// Whether the run has taken note of the first signal.
    heard: AtomicBool,
    /// When the first signal came, in nanoseconds of the monotonic clock; 0 before.
    first: AtomicU64,
    /// From the first signal to the watchdog, in microseconds.
    patience: AtomicU64,
}

impl Handler {
    pub(crate) fn install(signals: &[Signal]) -> io::Result<Arc<Handler>> {
        let handler = Arc::new(Handler {
            listening: AtomicBool::new(true),
            heard: AtomicBool::new(false),
            first: AtomicU64::new(0),
            patience: AtomicU64::new(0),
        });
        handler.set_grace(GRACE);
        register(libc::SIGALRM, || {
            end("adieu: still blocked one second past the deadline, giving up\n", TIMED_OUT)
        })?;
        for &signal in signals {
            let handler = handler.clone();
            register(signal as i32, move || handler.on_signal(signal as i32))?;
        }
        Ok(handler)
    }

    pub(crate) fn set_grace(&self, grace: Duration) {
        let patience = grace.saturating_add(MARGIN).as_micros();
        self.patience.store(u64::try_from(patience).unwrap_or(u64::MAX), SeqCst);
    }

    pub(crate) fn acknowledge(&self) {
        self.heard.store(true, SeqCst);
    }

    /// Nobody will read the stream any more; the watchdog is called off.
    pub(crate) fn stop_listening(&self) {
        self.listening.store(false, SeqCst);
        set_alarm(0);
    }

    fn on_signal(&self, number: i32) {
        let now = monotonic();
        if !self.listening.load(SeqCst) {
            end("", 128 + number);
        }
        match self.first.compare_exchange(0, now, SeqCst, SeqCst) {
            Ok(_) => set_alarm(self.patience.load(SeqCst)),
            Err(first) => {
                let echo = now.saturating_sub(first) < ECHO.as_nanos() as u64;
                if self.heard.load(SeqCst) || !echo {
                    end("adieu: aborted by a second signal\n", 128 + number);
                }
            }
        }
    }
}

/// Registers `action` for a signal, behind whatever is registered already.
#[allow(unsafe_code)]
fn register(signal: i32, action: impl Fn() + Send + Sync + 'static) -> io::Result<()> {
    // SAFETY: the actions of this file call async-signal-safe functions only: see each of them.
    // None of them allocates, locks, or can panic.
    unsafe { signal_hook_registry::register(signal, action) }?;
    Ok(())
}

/// Ends the process, with a last word if standard error takes it without blocking.
#[allow(unsafe_code)]
fn end(last_word: &str, status: i32) -> ! {
    // rustix calls poll(2) and write(2) directly. A pipe that poll(2) calls writable takes
    // PIPE_BUF (4096) bytes, so the write cannot block.
    let stderr = rustix::stdio::stderr();
    let mut fds = [PollFd::from_borrowed_fd(stderr, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    if matches!(poll(&mut fds, Some(&now)), Ok(1)) && fds[0].revents().contains(PollFlags::OUT) {
        let _ = rustix::io::write(stderr, last_word.as_bytes());
    }
    // SAFETY: _exit(2) is async-signal-safe. Destructors and exit handlers must not run here,
    // in the middle of whatever the signal has interrupted.
    unsafe { libc::_exit(status) }
}

/// Has SIGALRM come once after `micros`; 0 calls it off.
#[allow(unsafe_code)]
fn set_alarm(micros: u64) {
    let value = libc::timeval {
        tv_sec: libc::time_t::try_from(micros / 1_000_000).unwrap_or(libc::time_t::MAX),
        tv_usec: (micros % 1_000_000) as libc::suseconds_t,
    };
    let timer =
        libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: value };
    // SAFETY: `timer` outlives the call and the old value is not asked for. setitimer is not on
    // POSIX's list, but it is a bare system call that touches no state of the process; alarm(2),
    // which is on the list, knows whole seconds only.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
}

/// Nanoseconds of the monotonic clock, never 0.
fn monotonic() -> u64 {
    // A system call (or its vDSO form), async-signal-safe by POSIX's list.
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    (now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64).max(1)
}
