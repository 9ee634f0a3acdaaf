//! The system calls that no safe wrapper among the dependencies has. This is the only unsafe code
//! of the crate.

use std::io;
use std::os::fd::AsRawFd;

/// Registers `action` for a signal, behind whatever is registered already.
///
/// The action runs inside the signal handler, between any two instructions of the program. It must
/// keep to async-signal-safe functions (signal-safety(7)): no locks, no allocation, no panic.
/// `process/watchdog.rs` is the only caller, and its actions look at a few atomics and at a name in a
/// `OnceLock`, and call clock_gettime, setitimer, poll, write and _exit.
#[allow(unsafe_code)]
pub(crate) fn on_signal(signal: i32, action: impl Fn() + Send + Sync + 'static) -> io::Result<()> {
    // SAFETY: see above; each of those calls is async-signal-safe, or a bare system call.
    unsafe { signal_hook_registry::register(signal, action) }?;
    Ok(())
}

/// Whether the process ignores a signal, as nohup(1) has its child ignore SIGHUP.
#[allow(unsafe_code)]
pub(crate) fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null new action changes nothing; `action` is writable, and zeroes are a valid
    // value of it, should the call fail.
    let action = unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

/// Has the calling thread, and those it starts from now on, take these signals even if the process
/// was started with them blocked.
#[allow(unsafe_code)]
pub(crate) fn unblock(signals: impl Iterator<Item = i32>) -> io::Result<()> {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: `set` is initialized by sigemptyset before it is used, and outlives the calls. The old
    // mask is not asked for.
    let result = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        signals.for_each(|signal| {
            libc::sigaddset(set.as_mut_ptr(), signal);
        });
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut())
    };
    match result {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// Nanoseconds of the monotonic clock, never 0. On POSIX's list of what a signal handler may call.
#[allow(unsafe_code)]
pub(crate) fn monotonic() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is writable and outlives the call, which cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    (now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64).max(1)
}

/// Ends the process without destructors or exit handlers: they must not run in the middle of
/// whatever a signal has interrupted.
#[allow(unsafe_code)]
pub(crate) fn end_at_once(status: i32) -> ! {
    // SAFETY: _exit(2) is async-signal-safe, takes any status and does not return.
    unsafe { libc::_exit(status) }
}

/// Has SIGALRM come once after `micros`; 0 calls it off.
#[allow(unsafe_code)]
pub(crate) fn set_alarm(micros: u64) {
    let value = libc::timeval {
        tv_sec: libc::time_t::try_from(micros / 1_000_000).unwrap_or(libc::time_t::MAX),
        tv_usec: (micros % 1_000_000) as libc::suseconds_t,
    };
    let timer =
        libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: value };
    // SAFETY: `timer` outlives the call and the old value is not asked for. setitimer is not on
    // POSIX's list of what a signal handler may call, but it is a bare system call that touches no
    // state of the process; alarm(2), which is on the list, knows whole seconds only.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
}

/// One instruction of a socket filter.
#[cfg(target_os = "linux")]
pub(crate) use libc::sock_filter as Filter;

/// Attaches a classic BPF program to a socket: SO_ATTACH_FILTER in socket(7).
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub(crate) fn attach_filter(socket: &impl AsRawFd, program: &'static [Filter]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: the option takes a sock_fprog, of which the kernel copies the instructions and
    // changes none; both live until the call returns.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// How many bytes are in a socket's send queue: SIOCOUTQ in tcp(7). `None` where the system does not tell.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[allow(unsafe_code)]
pub(crate) fn send_queue(socket: &impl AsRawFd) -> Option<usize> {
    let mut amount: libc::c_int = 0;
    // SAFETY: SIOCOUTQ, which has the number of TIOCOUTQ, writes one int, and `amount` outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut amount) };
    usize::try_from(amount).ok().filter(|_| result == 0)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn send_queue(_socket: &impl AsRawFd) -> Option<usize> {
    None
}
