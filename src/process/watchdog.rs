//! What happens inside the signal handler: see [`sys::on_signal`] for the rules in there.
//!
//! Two promises must hold even when the one thread is stuck. A second signal ends the process at once.
//! And one second past the deadline an interval timer, started by the first signal, ends it too.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_signal::Signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::terms::{PAIR, Terms};
use crate::base::sys;
use crate::register::Polled;

/// How long past the deadline the executor may be blocked, in two steps: see [`Watchdog::on_alarm`].
const MARGIN_STEP: Duration = Duration::from_millis(500);

/// No code of its own for an abort: 128 plus the signal's number.
const BY_SIGNAL: u16 = u16::MAX;

#[derive(Debug)]
pub(super) struct Watchdog {
    /// Somebody reads the stream of signals.
    listening: AtomicBool,
    /// When the first signal came, in nanoseconds of the monotonic clock; 0 before.
    first: AtomicU64,
    /// When the timer is due, likewise; 0: it is not armed, and SIGALRM is somebody else's.
    due: AtomicU64,
    /// The next time that it is due is the last one.
    is_last_step: AtomicBool,
    /// SIGHUP asks for a reload, and is no signal to end.
    hangup_reloads: AtomicBool,
    /// SIGQUIT has come, which has no grace period.
    quits: AtomicBool,
    /// The grace period in microseconds.
    grace: AtomicU64,
    /// Whether a second signal that is not SIGQUIT ends the process.
    second_aborts: AtomicBool,
    blocked_code: AtomicU8,
    abort_code: AtomicU16,
    /// What the thread of the run is busy with, once there is a run.
    polled: OnceLock<Arc<Polled>>,
}

impl Watchdog {
    pub(super) fn install(signals: &[Signal]) -> io::Result<Arc<Watchdog>> {
        let watchdog = Arc::new(Watchdog {
            listening: AtomicBool::new(true),
            first: AtomicU64::new(0),
            due: AtomicU64::new(0),
            is_last_step: AtomicBool::new(false),
            hangup_reloads: AtomicBool::new(false),
            quits: AtomicBool::new(false),
            grace: AtomicU64::new(0),
            second_aborts: AtomicBool::new(true),
            blocked_code: AtomicU8::new(0),
            abort_code: AtomicU16::new(0),
            polled: OnceLock::new(),
        });
        watchdog.set_terms(&Terms::default());
        let alarmed = watchdog.clone();
        sys::on_signal(libc::SIGALRM, move || alarmed.on_alarm())?;
        for &signal in signals {
            let watchdog = watchdog.clone();
            sys::on_signal(signal as i32, move || watchdog.on_signal(signal as i32))?;
        }
        Ok(watchdog)
    }

    /// The run begins. To be called once.
    pub(super) fn watch(&self, polled: Arc<Polled>) {
        let _ = self.polled.set(polled);
    }

    pub(super) fn set_terms(&self, terms: &Terms) {
        let grace = u64::try_from(terms.grace.as_micros()).unwrap_or(u64::MAX);
        self.grace.store(grace, SeqCst);
        self.second_aborts.store(terms.second_signal_aborts, SeqCst);
        self.blocked_code.store(terms.exit_codes.cut_off, SeqCst);
        self.abort_code.store(terms.exit_codes.aborted.map_or(BY_SIGNAL, u16::from), SeqCst);
    }

    /// Sets whether SIGHUP asks for a reload.
    pub(super) fn set_hangup(&self, reloads: bool) {
        self.hangup_reloads.store(reloads, SeqCst);
        if reloads {
            // A SIGHUP that came before this has armed the timer as the first signal to end. If it was another
            // signal, the run will hear of it, and arm the timer again.
            self.first.store(0, SeqCst);
            self.call_off();
        }
    }

    /// The run has heard of a signal. Its deadline counts from here, so the watchdog does too: the thread may
    /// have been blocked when the signal came, and is not any more.
    pub(super) fn hear(&self) {
        let now = sys::monotonic();
        // One that came when the stream was there and the handler was not, only the stream has seen.
        let _ = self.first.compare_exchange(0, now, SeqCst, SeqCst);
        self.arm(now);
    }

    /// The run is over, or its signals were dropped; the timer is called off.
    pub(super) fn stop_listening(&self) {
        self.listening.store(false, SeqCst);
        // A handler that ran before this may have armed it.
        self.call_off();
    }

    fn call_off(&self) {
        self.due.store(0, SeqCst);
        sys::set_alarm(0);
    }

    fn on_signal(&self, number: i32) {
        if number == libc::SIGHUP && self.hangup_reloads.load(SeqCst) {
            return;
        }
        let now = sys::monotonic();
        let quits = number == libc::SIGQUIT;
        let is_second = match self.first.compare_exchange(0, now, SeqCst, SeqCst) {
            Ok(_) => false,
            // A pair of signals is one request, even if all was over after the first of them.
            Err(first) if now.saturating_sub(first) < PAIR.as_nanos() as u64 => {
                if quits && self.listening.load(SeqCst) {
                    self.quits.store(true, SeqCst);
                    self.arm(now);
                }
                return;
            }
            Err(_) => true,
        };
        if !self.listening.load(SeqCst) {
            end(b"", self.abort_code(number));
        }
        match is_second {
            false => {
                self.quits.fetch_or(quits, SeqCst);
                self.arm(now);
            }
            true if quits || self.second_aborts.load(SeqCst) => {
                end(b"adieu: aborted by a second signal\n", self.abort_code(number))
            }
            true => {}
        }
    }

    /// Starts the timer for the time after a grace period that begins now.
    fn arm(&self, now: u64) {
        let margin = MARGIN_STEP.as_micros() as u64;
        self.is_last_step.store(false, SeqCst);
        self.set_timer(now, self.grace.load(SeqCst).saturating_add(margin));
        // Asked last: SIGQUIT may come between any two instructions, and must not be forgotten.
        if self.quits.load(SeqCst) {
            self.set_timer(now, margin);
        }
    }

    fn set_timer(&self, now: u64, micros: u64) {
        self.due.store(now.saturating_add(micros.saturating_mul(1000)), SeqCst);
        sys::set_alarm(micros);
    }

    /// The timer has fired, or somebody has sent a SIGALRM, or it was set before this program began.
    ///
    /// It fires twice. The process may have been stopped (SIGSTOP, a debugger, a frozen cgroup) past
    /// the deadline: then it is not blocked, but has had no chance yet. So the first time begins the
    /// last half second, and only the second time ends the process.
    fn on_alarm(&self) {
        let (now, due) = (sys::monotonic(), self.due.load(SeqCst));
        if due == 0 || now < due {
            return;
        }
        if !self.is_last_step.swap(true, SeqCst) {
            return self.set_timer(now, MARGIN_STEP.as_micros() as u64);
        }
        let mut last_word = Line::default();
        last_word.extend("adieu: still blocked one second past the deadline".chars());
        // `get` of a OnceLock is one atomic load.
        if let Some(words) = self.polled.get().and_then(|polled| polled.get()) {
            last_word.extend(" by ".chars().chain(words.chars().take(Line::NAME)));
        }
        last_word.extend(", giving up\n".chars());
        end(last_word.as_bytes(), self.blocked_code.load(SeqCst))
    }

    fn abort_code(&self, number: i32) -> u8 {
        match self.abort_code.load(SeqCst) {
            BY_SIGNAL => 128 + number as u8,
            code => code as u8,
        }
    }
}

/// A line that needs no allocation. A character that does not fit any more is left out.
struct Line {
    bytes: [u8; Line::SIZE],
    len: usize,
}

impl Line {
    /// How many characters of a name are shown.
    const NAME: usize = 400;
    /// Enough for them, of four bytes each, and for the words around.
    const SIZE: usize = 4 * Line::NAME + 100;

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Default for Line {
    fn default() -> Line {
        Line { bytes: [0; Line::SIZE], len: 0 }
    }
}

impl Extend<char> for Line {
    fn extend<I: IntoIterator<Item = char>>(&mut self, chars: I) {
        for c in chars {
            let end = self.len + c.len_utf8();
            if let Some(room) = self.bytes.get_mut(self.len..end) {
                c.encode_utf8(room);
                self.len = end;
            }
        }
    }
}

/// Ends the process, with a last word if standard error takes it without blocking.
fn end(last_word: &[u8], status: u8) -> ! {
    // rustix calls poll(2) and write(2) directly. A pipe that poll(2) calls writable takes
    // PIPE_BUF (4096) bytes, so the write cannot block.
    let stderr = rustix::stdio::stderr();
    let mut fds = [PollFd::from_borrowed_fd(stderr, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    if matches!(poll(&mut fds, Some(&now)), Ok(1)) && fds[0].revents().contains(PollFlags::OUT) {
        let _ = rustix::io::write(stderr, last_word);
    }
    sys::end_at_once(status.into())
}
