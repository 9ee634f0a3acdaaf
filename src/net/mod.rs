//! Listeners and streams: what the accept loop needs of them, and the sockets of the system.
//!
//! An address is text: [`SocketListener::bind`] takes `[::]:8080` for TCP and `unix:/run/app.sock`
//! for a Unix socket, and every protocol's `bind` goes through it.

#[cfg(target_os = "linux")]
mod handshakes;
mod stream;
mod tcp;
mod unix;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncWrite};
use rustix::net::SocketFlags;

use crate::error::Error;
pub use stream::SocketStream;
pub use tcp::{TcpListener, TcpStream};
pub use unix::{UnixListener, UnixStream};

/// How long the accept queue may grow; the system's own limit (somaxconn) is usually lower.
pub(crate) const BACKLOG: i32 = 4096;

#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOEXEC: SocketFlags = SocketFlags::CLOEXEC;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOEXEC: SocketFlags = SocketFlags::empty();

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Peer {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A client on this machine, numbered from 1 in the order of arrival.
    Unix(u64),
    /// A client of an in-memory listener, numbered from 1.
    Memory(u64),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // An IPv4 client of a dual-stack socket is shown as what it is.
            Peer::Tcp(address) => {
                write!(f, "{}", SocketAddr::new(address.ip().to_canonical(), address.port()))
            }
            Peer::Unix(number) => write!(f, "local client {number}"),
            Peer::Memory(number) => write!(f, "client {number}"),
        }
    }
}

/// A byte stream that can tell when a read would not block.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static {
    /// Ready when there is something to read, or the end. A connection that waits here, instead of
    /// in a read, needs no buffer. May be ready for nothing; a read then has to wait.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Says that nothing more will be written (shutdown(2)); reading goes on. It does not block.
    fn half_close(&self) -> io::Result<()>;
}

/// A source of connections. Dropping it closes it.
pub trait Listener: 'static {
    /// What it accepts.
    type Stream: Stream;

    /// Accepts a connection if one is waiting. `Pending` means that the accept queue is empty.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Stream, Peer)>>;

    /// The address it listens on, for people to read.
    fn address(&self) -> String;

    /// Called when shutdown begins: from here on no new handshake should begin here, for closing the
    /// listener resets whoever enters behind the last accept. Returns for how long those that are
    /// under way should be waited for at most; by default not at all.
    fn stop_handshakes(&mut self) -> Duration {
        Duration::ZERO
    }

    /// Whether a handshake that had begun before [`stop_handshakes`](Listener::stop_handshakes) is
    /// still under way.
    fn has_handshakes(&mut self) -> bool {
        false
    }
}

/// A bound socket of whatever kind its address asked for.
#[derive(Debug)]
pub enum SocketListener {
    /// Listens on an address and a port.
    Tcp(TcpListener),
    /// Listens on a path, or on an abstract name.
    Unix(UnixListener),
}

impl SocketListener {
    /// Binds to an address: of a Unix socket if it begins with `unix:` (see [`UnixListener::bind`]),
    /// else of TCP (see [`TcpListener::bind`]).
    pub fn bind(address: &str) -> Result<SocketListener, Error> {
        Ok(match address.starts_with(unix::SCHEME) {
            true => SocketListener::Unix(UnixListener::bind(address)?),
            false => SocketListener::Tcp(TcpListener::bind(address)?),
        })
    }

    /// The same for a TCP address that two processes may listen on at once: see
    /// [`TcpListener::bind_shared`]. A Unix socket cannot be shared, and is bound as ever.
    pub fn bind_shared(address: &str) -> Result<SocketListener, Error> {
        match address.starts_with(unix::SCHEME) {
            true => SocketListener::bind(address),
            false => Ok(SocketListener::Tcp(TcpListener::bind_shared(address)?)),
        }
    }

    /// The TCP address it is bound to, with the port that was picked where 0 was asked for.
    /// `None` for a Unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            SocketListener::Tcp(listener) => Some(listener.local_addr()),
            SocketListener::Unix(_) => None,
        }
    }

    /// The TCP port it is bound to; `None` for a Unix socket.
    pub fn port(&self) -> Option<u16> {
        Some(self.local_addr()?.port())
    }
}

impl Listener for SocketListener {
    type Stream = SocketStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(SocketStream, Peer)>> {
        match self {
            SocketListener::Tcp(listener) => {
                listener.poll_accept(cx).map_ok(|(stream, peer)| (SocketStream::Tcp(stream), peer))
            }
            SocketListener::Unix(listener) => {
                listener.poll_accept(cx).map_ok(|(stream, peer)| (SocketStream::Unix(stream), peer))
            }
        }
    }

    fn address(&self) -> String {
        match self {
            SocketListener::Tcp(listener) => listener.address(),
            SocketListener::Unix(listener) => listener.address(),
        }
    }

    fn stop_handshakes(&mut self) -> Duration {
        match self {
            SocketListener::Tcp(listener) => listener.stop_handshakes(),
            SocketListener::Unix(listener) => listener.stop_handshakes(),
        }
    }

    fn has_handshakes(&mut self) -> bool {
        match self {
            SocketListener::Tcp(listener) => listener.has_handshakes(),
            SocketListener::Unix(listener) => listener.has_handshakes(),
        }
    }
}
