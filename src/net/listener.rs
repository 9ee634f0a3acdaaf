//! What the accept loop needs of a listener, and a protocol of a stream.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncWrite};
use rustix::net::SocketFlags;

use super::peer::Peer;
use super::reset::ResetWatch;

/// How long the accept queue may grow; the system's own limit (somaxconn) is usually lower.
pub(crate) const BACKLOG: i32 = 4096;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) const CLOEXEC: SocketFlags = SocketFlags::CLOEXEC;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) const CLOEXEC: SocketFlags = SocketFlags::empty();

/// A byte stream that can tell when a read would not block.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static {
    /// Ready when there is something to read, or the end. A connection that waits here, instead of
    /// in a read, needs no buffer. May be ready for nothing; a read then has to wait.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Says that nothing more will be written (shutdown(2)); reading goes on. It does not block.
    fn half_close(&self) -> io::Result<()>;

    /// Sets whether closing the stream resets the connection: the peer then reads an error in place of an
    /// end, and knows that what it has is not all. At first it does not.
    ///
    /// It is set before the first byte of what has no other sign of its end, and taken back behind the
    /// last. So whatever ends the stream in between resets it, even the death of the process. What the
    /// peer has not received by then is lost.
    ///
    /// On TCP it is `SO_LINGER` with a time of zero (socket(7)): one system call that does not block. A
    /// Unix socket has no such sign: there it does nothing. A stream around another one passes it on.
    fn reset_on_close(&self, resets: bool);

    /// How many bytes that were written the peer has not received yet; `None` where nobody can tell.
    ///
    /// For a client that is slow, the system's buffer can stay too full for a write for minutes, though the client
    /// takes some bytes in each second. This tells such a client from one that takes nothing. Linux tells
    /// it of a socket (`SIOCOUTQ` in tcp(7)). A stream around another one passes it on.
    fn unreceived(&self) -> Option<usize> {
        None
    }

    /// Watches for the peer to reset the connection after it has closed its side; `None` where nobody can tell.
    ///
    /// Reads tell nothing but the end then. A peer that is gone for good resets when the next bytes reach
    /// it, one that has only closed its side does not. Linux tells it of a socket, for the price of a descriptor
    /// (epoll(7)). A stream around another one passes it on.
    fn watch_for_reset(&self) -> Option<ResetWatch> {
        None
    }
}

/// A source of connections. Dropping it closes it.
pub trait Listener: 'static {
    /// What it accepts.
    type Stream: Stream;

    /// Accepts a connection if one is waiting. `Pending` means that the accept queue is empty.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Stream, Peer)>>;

    /// The address it listens on, for people to read.
    fn address(&self) -> String;

    /// Called when shutdown begins. From now on the listener should refuse new handshakes: closing a
    /// socket resets every connection that was queued after the last accept. Returns how long to wait
    /// for handshakes that are under way; by default not at all.
    fn refuse_newcomers(&mut self) -> Duration {
        Duration::ZERO
    }

    /// Whether a handshake that had begun before [`refuse_newcomers`](Listener::refuse_newcomers) may
    /// still be under way.
    fn has_half_open(&mut self) -> bool {
        false
    }
}
