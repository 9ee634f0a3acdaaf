//! What the accept loop needs of a listener, and a protocol of a stream.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncWrite};
use rustix::net::SocketFlags;

use super::peer::Peer;

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

    /// Has the coming close be a reset, so that the peer can tell that not all was sent (`SO_LINGER` of 0
    /// in socket(7)). What it has not read yet may be lost with it. By default it does nothing.
    fn reset_on_close(&self) {}
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
