//! The one accept loop: a listener and a protocol make a [`Service`].
//!
//! The loop races `accept()` against the shutdown. It backs off when the process runs out of
//! descriptors, stops accepting at the connection limit, and before it lets its listener go it
//! serves whoever still waits in the accept queue.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_lite::future;
use log::{debug, warn};

use crate::connection::Connection;
use crate::error::BoxError;
use crate::net::{BACKLOG, Listener, Peer};
use crate::per_peer::PerPeer;
use crate::service::{Context, Service};
use crate::serving::serving;

/// How many connections are accepted in a row before the other tasks get a turn.
const FAIR: usize = 16;

/// The pause after an accept that failed for want of a resource: doubled each time, up to the last.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// How often the system is asked whether handshakes are still under way at the shutdown.
const STEP: Duration = Duration::from_millis(20);

/// Descriptors that the default connection limit leaves to the rest of the process.
const RESERVED: u64 = 32;

/// What is spoken on accepted connections.
pub trait Protocol<S>: 'static {
    /// Serves one connection until it is closed.
    ///
    /// It should keep `connection` informed of its [state](crate::State), close when it is idle and
    /// [draining](Connection::draining), and drop `connection` with the stream. An error is logged
    /// at debug level: on a network, connections break. A panic costs this connection alone.
    fn serve(
        self: Rc<Self>,
        stream: S,
        connection: Connection,
    ) -> impl Future<Output = io::Result<()>> + 'static;

    /// The shortest time limit the protocol ever gives to a connection; bounds how often they are looked at.
    fn shortest_limit(&self) -> Duration {
        Duration::MAX
    }
}

/// A listener and what is spoken on it.
#[derive(Debug)]
pub struct Server<L, P> {
    listener: L,
    protocol: P,
    max_connections: usize,
    max_connections_per_peer: Option<usize>,
}

impl<L: Listener, P: Protocol<L::Stream>> Server<L, P> {
    /// Serves `protocol` on a bound listener.
    pub fn new(listener: L, protocol: P) -> Server<L, P> {
        let max_connections = default_max_connections();
        Server { listener, protocol, max_connections, max_connections_per_peer: None }
    }

    /// Sets how many connections may be open at once, at least 1. At the limit the loop stops
    /// accepting until one closes; clients wait in the accept queue. Default: the process's soft
    /// limit of descriptors (`RLIMIT_NOFILE`) as it was when the server was made, less 32.
    pub fn max_connections(mut self, limit: usize) -> Self {
        self.max_connections = limit.max(1);
        self
    }

    /// Sets how many connections one peer may have open at once, at least 1. Further ones are
    /// closed as soon as they are accepted; they count as [refused](crate::Counts::refused), and
    /// are logged at most once a second. A peer is an IPv4 address or the /64 network of an IPv6
    /// address; clients of a Unix socket are not limited. Default: no limit, since behind a proxy
    /// all clients are one peer.
    pub fn max_connections_per_peer(mut self, limit: usize) -> Self {
        self.max_connections_per_peer = Some(limit.max(1));
        self
    }

    /// The listener.
    pub fn listener(&self) -> &L {
        &self.listener
    }

    /// The protocol, to set it up.
    pub fn protocol_mut(&mut self) -> &mut P {
        &mut self.protocol
    }
}

fn default_max_connections() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let descriptors = limit.current.unwrap_or(u64::MAX).saturating_sub(RESERVED).max(1);
    usize::try_from(descriptors).unwrap_or(usize::MAX)
}

impl<L: Listener, P: Protocol<L::Stream>> Service for Server<L, P> {
    async fn serve(self, cx: Context) -> Result<(), BoxError> {
        debug!("{} listening on {}", cx.name(), self.listener.address());
        cx.register.set_shortest_limit(self.protocol.shortest_limit());
        let mut accepting = Accepting {
            listener: self.listener,
            protocol: Rc::new(self.protocol),
            max_connections: self.max_connections,
            per_peer: PerPeer::new(self.max_connections_per_peer),
            pause: BACK_OFF.0,
            last_warning: None,
            cx: Rc::new(cx),
        };
        let shutdown = accepting.cx.shutdown().clone();
        let mut in_a_row = 0;
        while let Some(accepted) = shutdown.race(accepting.next()).await {
            accepting.welcome(accepted?);
            in_a_row = (in_a_row + 1) % FAIR;
            if in_a_row == 0 {
                future::yield_now().await;
            }
        }
        accepting.finish_handshakes().await?;
        accepting.empty_the_queue().await?;
        Ok(())
    }
}

struct Accepting<L, P> {
    listener: L,
    protocol: Rc<P>,
    max_connections: usize,
    per_peer: Rc<PerPeer>,
    pause: Duration,
    last_warning: Option<Instant>,
    cx: Rc<Context>,
}

impl<L: Listener, P: Protocol<L::Stream>> Accepting<L, P> {
    /// The next connection, however long it takes. An error means that the listener is broken.
    async fn next(&mut self) -> io::Result<(L::Stream, Peer)> {
        loop {
            self.cx.register.room(self.max_connections).await;
            let accepted = poll_fn(|cx| self.listener.poll_accept(cx)).await;
            if let Some(connection) = self.survive(accepted).await? {
                return Ok(connection);
            }
        }
    }

    /// Nobody new may begin to connect here, and those who have begun are served.
    async fn finish_handshakes(&mut self) -> io::Result<()> {
        let patience = self.listener.stop_handshakes();
        let end = self.cx.clock().now() + patience;
        while self.cx.clock().now() < end && self.listener.has_handshakes() {
            self.empty_the_queue().await?;
            self.cx.sleep(patience.min(STEP)).await;
        }
        Ok(())
    }

    /// Serves whoever is in the accept queue when shutdown begins: their handshake is done, and
    /// their request may be on the wire. Ends when the queue is empty, or after as many as it can
    /// hold. The connection limit does not hold here: who has nothing to say is closed at once, and
    /// waiting for room would keep the listener open for newcomers.
    async fn empty_the_queue(&mut self) -> io::Result<()> {
        // Idle connections are closing just now, so what was missing may be there.
        self.pause = BACK_OFF.0;
        for _ in 0..BACKLOG {
            let accepted = poll_fn(|cx| self.listener.poll_accept(cx));
            let Some(accepted) = future::poll_once(accepted).await else {
                break;
            };
            if let Some(connection) = self.survive(accepted).await? {
                self.welcome(connection);
            }
        }
        Ok(())
    }

    /// Takes what accept(2) came back with: a connection, nothing this time, or a broken listener.
    async fn survive<T>(&mut self, accepted: io::Result<T>) -> io::Result<Option<T>> {
        let error = match accepted {
            Ok(connection) => {
                self.pause = BACK_OFF.0;
                return Ok(Some(connection));
            }
            Err(error) => error,
        };
        match Trouble::of(&error) {
            Trouble::OneConnection => future::yield_now().await,
            Trouble::Starved => {
                self.warn(format_args!("cannot accept, backing off: {error}"));
                self.cx.sleep(self.pause).await;
                self.pause = (self.pause * 2).min(BACK_OFF.1);
            }
            Trouble::Listener => return Err(error),
        }
        Ok(None)
    }

    /// Says, at most once a second, what is wrong.
    fn warn(&mut self, what: fmt::Arguments<'_>) {
        let now = self.cx.clock().now();
        let due = self.last_warning.is_none_or(|last| now >= last + Duration::from_secs(1));
        if due {
            self.last_warning = Some(now);
            warn!("{}: {what}", self.cx.name());
        }
    }

    fn welcome(&mut self, (stream, peer): (L::Stream, Peer)) {
        let Some(place) = self.per_peer.admit(&peer) else {
            self.cx.register.count(|counts| counts.refused += 1);
            return self.warn(format_args!("refused: {peer} has too many connections"));
        };
        let cx = self.cx.clone();
        let connection = cx.register.enter(cx.clone(), peer);
        let entry = connection.entry();
        let work = self.protocol.clone().serve(stream, connection);
        self.cx.spawn(serving(work, cx, entry, place));
    }
}

/// What a failed accept(2) says about the next one.
enum Trouble {
    /// This connection was gone before it was accepted; the next may be well.
    OneConnection,
    /// The process or the system is out of descriptors or memory: wait.
    Starved,
    /// There will be no next one.
    Listener,
}

impl Trouble {
    /// After accept(2), "Error handling": a new socket's pending network errors come from accept.
    fn of(error: &io::Error) -> Trouble {
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Trouble::Starved,
            Some(libc::EBADF | libc::EFAULT | libc::EINVAL | libc::ENOTSOCK) => Trouble::Listener,
            _ => Trouble::OneConnection,
        }
    }
}
