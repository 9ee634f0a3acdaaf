//! The accept loop: it backs off when the process runs out of descriptors, stops accepting at the
//! connection limit, and before it closes its listener it serves the clients in the accept queue.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future;

use super::connection::Connection;
use super::protocol::Protocol;
use super::refusal::{TOO_MANY, refuse, warn_seldom};
use super::task::connection_task;
use crate::net::{BACKLOG, Listener, Peer};
use crate::register::PerPeer;
use crate::service::Context;

/// How many connections are accepted in a row before the other tasks get a turn.
const ACCEPTED_IN_A_ROW: usize = 16;

/// The pause after an accept that failed for want of a resource: doubled each time, up to the last.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// How often the system is asked whether handshakes are still under way at the shutdown.
const HANDSHAKE_STEP: Duration = Duration::from_millis(20);

/// The accept loop of one server.
pub(super) struct Accepting<L, P> {
    listener: L,
    protocol: Rc<P>,
    max_connections: usize,
    per_peer: Rc<PerPeer>,
    pause: Duration,
    cx: Rc<Context>,
}

impl<L: Listener, P: Protocol<L::Stream>> Accepting<L, P> {
    pub(super) fn new(
        listener: L,
        protocol: P,
        max_connections: usize,
        max_connections_per_peer: Option<usize>,
        cx: Context,
    ) -> Self {
        Accepting {
            listener,
            protocol: Rc::new(protocol),
            max_connections,
            per_peer: PerPeer::new(max_connections_per_peer),
            pause: BACK_OFF.0,
            cx: Rc::new(cx),
        }
    }

    /// Accepts until shutdown begins, then whatever is left in the queue. An error means that the
    /// listener is broken.
    pub(super) async fn run(mut self) -> io::Result<()> {
        let shutdown = self.cx.shutdown().clone();
        let mut in_a_row = 0;
        while let Some(accepted) = shutdown.race(self.next()).await {
            self.spawn_connection(accepted?);
            in_a_row = (in_a_row + 1) % ACCEPTED_IN_A_ROW;
            if in_a_row == 0 {
                future::yield_now().await;
            }
        }
        self.finish_handshakes().await?;
        self.empty_the_queue().await
    }

    /// The next connection, however long it takes. An error means that the listener is broken.
    async fn next(&mut self) -> io::Result<(L::Stream, Peer)> {
        loop {
            self.cx.register().below_limit(self.max_connections).await;
            let accepted = poll_fn(|cx| self.listener.poll_accept(cx)).await;
            if let Some(connection) = self.check(accepted).await? {
                return Ok(connection);
            }
        }
    }

    /// Keeps newcomers away, and gives the handshakes that are under way the time that the listener asks
    /// for, but not beyond the deadline.
    async fn finish_handshakes(&mut self) -> io::Result<()> {
        let patience = self.listener.refuse_newcomers();
        let end = self.cx.clock().now() + patience;
        let is_over =
            |cx: &Context| cx.clock().now() >= end || cx.time_left() == Some(Duration::ZERO);
        while !is_over(&self.cx) && self.listener.has_half_open() {
            self.empty_the_queue().await?;
            self.cx.sleep_in_time(patience.min(HANDSHAKE_STEP)).await;
        }
        Ok(())
    }

    /// Serves the clients that are in the accept queue when shutdown begins: their handshake is done, and
    /// their request may be on the wire. Ends when the queue is empty, or after as many as it can
    /// hold. The connection limit is ignored here: idle connections are closed at once, and waiting
    /// for a free place would keep the listener open longer.
    async fn empty_the_queue(&mut self) -> io::Result<()> {
        // Idle connections are closing just now, so what was missing may be there.
        self.pause = BACK_OFF.0;
        for _ in 0..BACKLOG {
            let accepted = poll_fn(|cx| self.listener.poll_accept(cx));
            let Some(accepted) = future::poll_once(accepted).await else {
                break;
            };
            if let Some(connection) = self.check(accepted).await? {
                self.spawn_connection(connection);
            }
        }
        Ok(())
    }

    /// Takes what accept(2) came back with: a connection, nothing this time, or a broken listener.
    async fn check<T>(&mut self, accepted: io::Result<T>) -> io::Result<Option<T>> {
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
                warn_seldom(&self.cx, format_args!("cannot accept, backing off: {error}"));
                match self.cx.time_left() {
                    // There is no time to wait any more; only a connection that closes can help.
                    Some(Duration::ZERO) => {
                        self.cx.register().below_limit(self.cx.register().len()).await
                    }
                    _ => self.cx.sleep_in_time(self.pause).await,
                }
                self.pause = (self.pause * 2).min(BACK_OFF.1);
            }
            Trouble::Listener => return Err(error),
        }
        Ok(None)
    }

    fn spawn_connection(&mut self, (stream, peer): (L::Stream, Peer)) {
        let seat = self.per_peer.seat();
        let is_its_own = !self.protocol.learns_peer();
        if is_its_own && seat.as_ref().is_some_and(|seat| !seat.take(&peer)) {
            return refuse(&self.cx, format_args!("{peer} {TOO_MANY}"));
        }
        let cx = self.cx.clone();
        let entry = cx.register().admit(peer, seat);
        let connection = Connection::new(cx.clone(), entry.clone());
        let work = self.protocol.clone().serve(stream, connection);
        self.cx.member().spawn(connection_task(work, cx, entry));
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
