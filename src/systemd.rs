//! What systemd offers a service: somebody to report to, and sockets that are bound already.
//!
//! Both are told through the environment, which the library reads only when it is asked to, here.

use std::time::Duration;

use futures_lite::FutureExt;
use listenfd::ListenFd;
use log::debug;
use sd_notify::NotifyState;

use crate::error::{BoxError, Error};
use crate::net::{SocketListener, TcpListener, UnixListener};
use crate::report::in_a_line;
use crate::service::{Context, Service};
use crate::shutdown::Phase;
use crate::status::Status;
use crate::words::LOG;

/// How often the state is told, if it has changed.
const BEAT: Duration = Duration::from_secs(1);

/// What the drain may take beyond the grace period: the watchdog's second, and one to end.
const MARGIN: Duration = Duration::from_secs(2);

/// A service that reports to systemd. Add it to the last [stage](crate::Supervisor::next_stage), so that
/// it reports to the end.
///
/// It says `READY=1` when the run [is ready](Status::is_ready) for the first time, and nothing before;
/// `STATUS=` with counts, once a second and with each [change](Status::changed); `WATCHDOG=1` twice within
/// `WatchdogSec=`, from the executor, so that a stuck one is found; `STOPPING=1` with the first cause to stop;
/// and while draining `EXTEND_TIMEOUT_USEC=`, so that `TimeoutStopSec=` need not know the grace period.
///
/// It speaks the protocol of `Type=notify-reload` (systemd.service(5)): for each
/// [reload](crate::Context::reloads) `RELOADING=1` with `MONOTONIC_USEC=`, and `READY=1` when all services are
/// done with it.
#[derive(Debug)]
pub struct Notifier {
    watchdog: Option<Duration>,
}

/// The notifier, if systemd listens: `NOTIFY_SOCKET` is set, by `Type=notify`.
pub fn notifier() -> Option<Notifier> {
    std::env::var_os("NOTIFY_SOCKET")?;
    Some(Notifier { watchdog: sd_notify::watchdog_enabled() })
}

/// The sockets that systemd has handed over, with the names that `FileDescriptorName=` gives them.
///
/// They are `LISTEN_FDS` and `LISTEN_FDNAMES`, if `LISTEN_PID` is this process; none, if it is another
/// one or is not set (sd_listen_fds(3)). Without `LISTEN_FDNAMES` each is called `unknown`. To be called
/// once, and before the process opens anything.
///
/// An error names the socket if it is one that cannot be used, such as one that does not listen.
pub fn sockets() -> Result<Vec<(String, SocketListener)>, Error> {
    let failed = |name: &str, source| Error::HandedOver { name: name.to_owned(), source };
    // The names are looked at second: those of another process say nothing about this one.
    if sd_notify::listen_fds().map_err(|source| failed("", source))?.len() == 0 {
        return Ok(Vec::new());
    }
    let names = sd_notify::listen_fds_with_names().map_err(|source| failed("", source))?;
    let names: Vec<String> = names.map(|(_, name)| name).collect();
    let mut handed = ListenFd::from_env();
    let mut sockets = Vec::new();
    for (number, name) in names.into_iter().enumerate() {
        let socket = take(&mut handed, number).map_err(|source| failed(&name, source))?;
        sockets.push((name, socket));
    }
    Ok(sockets)
}

fn take(handed: &mut ListenFd, number: usize) -> std::io::Result<SocketListener> {
    if let Ok(Some(listener)) = handed.take_tcp_listener(number) {
        return Ok(SocketListener::Tcp(TcpListener::try_from(listener)?));
    }
    match handed.take_unix_listener(number)? {
        Some(listener) => Ok(SocketListener::Unix(UnixListener::try_from(listener)?)),
        None => Err(std::io::ErrorKind::NotFound.into()),
    }
}

impl Service for Notifier {
    async fn serve(self, cx: Context) -> Result<(), BoxError> {
        let status = cx.status();
        let beat = self.watchdog.map_or(BEAT, |watchdog| BEAT.min(watchdog / 2));
        let mut told = Told::default();
        loop {
            let changed = status.changed();
            let mut changes = told.changes(status);
            if told.is_started && self.watchdog.is_some() {
                changes.push(NotifyState::Watchdog);
            }
            let words = words(status);
            if told.is_started && words != told.words {
                changes.push(NotifyState::Status(&words));
            }
            tell(&changes);
            told.words = words;
            if cx.shutdown().race(changed.or(cx.sleep(beat))).await.is_none() {
                return Ok(());
            }
        }
    }
}

/// What systemd knows already.
#[derive(Default)]
struct Told {
    /// That the start is over: that it is ready, or stops.
    is_started: bool,
    is_stopping: bool,
    /// How many reloads it knows to have begun, and to be over.
    reloads: (u64, u64),
    words: String,
}

impl Told {
    /// What it must know now.
    fn changes(&mut self, status: &Status) -> Vec<NotifyState<'static>> {
        if status.leaving().has_begun() {
            self.is_started = true;
            return match std::mem::replace(&mut self.is_stopping, true) {
                false => vec![NotifyState::Stopping, extend(status)],
                true => vec![extend(status)],
            };
        }
        let asked = status.reloads_asked();
        if !self.is_started {
            self.is_started = status.is_ready();
            // What was asked for during the start is over with it.
            self.reloads = (asked, asked);
            return self.is_started.then_some(NotifyState::Ready).into_iter().collect();
        }
        if self.reloads.0 < asked {
            self.reloads.0 = asked;
            // In a message of its own: if READY=1 is in it too, systemd takes that alone.
            match NotifyState::monotonic_usec_now() {
                Ok(now) => tell(&[NotifyState::Reloading, now]),
                Err(error) => debug!(target: LOG, "cannot tell the time: {error}"),
            }
        }
        let is_over = self.reloads.1 < asked && !status.is_reloading();
        if is_over {
            self.reloads.1 = asked;
        }
        is_over.then_some(NotifyState::Ready).into_iter().collect()
    }
}

fn tell(changes: &[NotifyState<'_>]) {
    if changes.is_empty() {
        return;
    }
    if let Err(error) = sd_notify::notify(changes) {
        // systemd has lost this message and nothing else: the next one may arrive.
        debug!(target: LOG, error:%; "cannot notify systemd: {error}");
    }
}

fn extend(status: &Status) -> NotifyState<'static> {
    let left = status.time_left().unwrap_or(BEAT * 60).saturating_add(MARGIN);
    NotifyState::ExtendTimeoutUsec(u32::try_from(left.as_micros()).unwrap_or(u32::MAX))
}

fn words(status: &Status) -> String {
    let services = status.services();
    let services = services.iter().filter(|service| service.stage == 0);
    let (mut open, mut in_flight, mut requests) = (0, 0, 0);
    for service in services {
        for (state, count) in service.open {
            open += count;
            in_flight += if state.is_in_flight() { count } else { 0 };
        }
        requests += service.counts.requests;
    }
    let phase = status.phase();
    let left = match (phase, status.time_left()) {
        (Phase::Starting | Phase::Serving, _) | (_, None) => String::new(),
        (_, Some(left)) => format!(", {} s left", left.as_secs()),
    };
    let why = match &*status.not_ready() {
        held if held.is_empty() || phase != Phase::Serving => String::new(),
        held => format!(", not ready ({})", in_a_line(held)),
    };
    format!("{phase}{left}{why}: {open} open, {in_flight} in flight, {requests} requests answered")
}
