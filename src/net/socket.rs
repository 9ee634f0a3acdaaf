//! A listener or a stream of either kind of socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncWrite};

use super::listener::{Listener, Stream};
use super::peer::Peer;
use super::reset::ResetWatch;
use super::tcp::{TcpListener, TcpStream};
use super::unix::{SCHEME, UnixListener, UnixStream};
use crate::error::Error;

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
        Ok(match address.starts_with(SCHEME) {
            true => SocketListener::Unix(UnixListener::bind(address)?),
            false => SocketListener::Tcp(TcpListener::bind(address)?),
        })
    }

    /// The same for a TCP address that two processes may listen on at once: see
    /// [`TcpListener::bind_shared`]. A Unix socket cannot be shared, and is bound as ever.
    pub fn bind_shared(address: &str) -> Result<SocketListener, Error> {
        match address.starts_with(SCHEME) {
            true => SocketListener::bind(address),
            false => Ok(SocketListener::Tcp(TcpListener::bind_shared(address)?)),
        }
    }

    /// Sets after how long without a byte a TCP connection is probed: see [`TcpListener::set_keep_alive`]. The
    /// peers of a Unix socket are on this machine, and need no probes.
    pub fn set_keep_alive(&self, after: Option<Duration>) -> io::Result<()> {
        match self {
            SocketListener::Tcp(listener) => listener.set_keep_alive(after),
            SocketListener::Unix(_) => Ok(()),
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

    fn refuse_newcomers(&mut self) -> Duration {
        match self {
            SocketListener::Tcp(listener) => listener.refuse_newcomers(),
            SocketListener::Unix(listener) => listener.refuse_newcomers(),
        }
    }

    fn has_half_open(&mut self) -> bool {
        match self {
            SocketListener::Tcp(listener) => listener.has_half_open(),
            SocketListener::Unix(listener) => listener.has_half_open(),
        }
    }
}

/// A connection that a [`SocketListener`] has accepted.
#[derive(Debug)]
pub enum SocketStream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

/// Does the same with the stream, whichever it is.
macro_rules! either {
    ($this:expr, $stream:ident => $action:expr) => {
        match $this {
            SocketStream::Tcp($stream) => $action,
            SocketStream::Unix($stream) => $action,
        }
    };
}

impl Stream for SocketStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_readable(cx))
    }

    fn half_close(&self) -> io::Result<()> {
        either!(self, stream => stream.half_close())
    }

    fn reset_on_close(&self, resets: bool) {
        match self {
            SocketStream::Tcp(stream) => stream.reset_on_close(resets),
            SocketStream::Unix(stream) => stream.reset_on_close(resets),
        }
    }

    fn unreceived(&self) -> Option<usize> {
        match self {
            SocketStream::Tcp(stream) => stream.unreceived(),
            SocketStream::Unix(stream) => stream.unreceived(),
        }
    }

    fn watch_for_reset(&self) -> Option<ResetWatch> {
        match self {
            SocketStream::Tcp(stream) => stream.watch_for_reset(),
            SocketStream::Unix(stream) => stream.watch_for_reset(),
        }
    }
}

impl AsyncRead for SocketStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buf))
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_read_vectored(cx, bufs))
    }
}

impl AsyncWrite for SocketStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_close(cx))
    }
}
