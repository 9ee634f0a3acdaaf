//! TCP sockets.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener, ToSocketAddrs};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use log::warn;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use smol::Async;

use super::handshakes::{self, HalfOpen};
use super::listener::{BACKLOG, CLOEXEC, Listener, Stream};
use super::neighbours::Neighbours;
use super::peer::Peer;
use super::reset::{self, ResetWatch};
use crate::base::sys;
use crate::error::Error;
use crate::words::LOG;

/// A TCP stream as [`TcpListener`] accepts it: non-blocking, with `TCP_NODELAY`.
pub type TcpStream = Async<std::net::TcpStream>;

impl Stream for TcpStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Async::poll_readable(self, cx)
    }

    fn half_close(&self) -> io::Result<()> {
        self.get_ref().shutdown(std::net::Shutdown::Write)
    }

    fn reset_on_close(&self, resets: bool) {
        // It fails only on a socket that the peer has reset already.
        let _ = sockopt::set_socket_linger(self, resets.then_some(Duration::ZERO));
    }

    fn unreceived(&self) -> Option<usize> {
        sys::send_queue(self)
    }

    fn watch_for_reset(&self) -> Option<ResetWatch> {
        reset::watch_for_reset(self)
    }
}

/// How long handshakes that are under way at the shutdown may take: about what they take on this
/// machine and in its neighbourhood. Not longer: a client that begins one meanwhile hears only a second
/// later that the port is closed.
const HANDSHAKE: Duration = Duration::from_millis(1);

/// The same where a successor listens. A client whose SYN was dropped sends it again after one
/// second, and must find the successor alone by then.
const SHARED_HANDSHAKES: Duration = Duration::from_millis(500);

/// How long a connection is silent before its peer is probed, how often it is, and how often in vain.
const PROBED_AFTER: Duration = Duration::from_secs(60);
#[cfg(any(target_os = "linux", target_os = "android"))]
const PROBE_STEP: Duration = Duration::from_secs(15);
#[cfg(any(target_os = "linux", target_os = "android"))]
const PROBES: u32 = 4;

/// Whose a listening socket is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Origin {
    /// Somebody else has bound it, and it may live on elsewhere.
    HandedOver,
    Own,
    /// Ours, but others may be bound to the same address.
    Shared,
}

/// A bound TCP listener.
#[derive(Debug)]
pub struct TcpListener {
    listener: Async<StdListener>,
    address: SocketAddr,
    origin: Origin,
    /// Handshakes that had begun when newcomers were refused.
    half_open: HalfOpen,
}

impl TcpListener {
    /// Binds to an address such as `127.0.0.1:8080`, `[::]:8080`, `localhost:0` or `:8080`.
    ///
    /// `[::]`, or no host at all, means all interfaces, IPv4 included; where the machine has no IPv6
    /// it falls back to `0.0.0.0`. Of a host name's addresses, resolved here and now (it blocks), the
    /// first that can be bound is taken. Port 0 picks a free one. `SO_REUSEADDR` is set, so that a
    /// restart need not wait.
    ///
    /// On Linux a client that connects while the listener closes is not reset: when shutdown begins, a
    /// socket filter keeps new handshakes away, and the accept queue is served to its end. The system of
    /// a client that was kept away tries again after a second.
    pub fn bind(address: &str) -> Result<TcpListener, Error> {
        Self::bind_first(address, Origin::Own)
    }

    /// The same with `SO_REUSEPORT`: a successor, of the same user, can bind while this process
    /// still serves, and no client finds nobody there.
    ///
    /// On Linux, when shutdown begins, new handshakes are kept away with a socket filter; those under
    /// way, for half a second at most, and the accept queue are served before the listener
    /// closes. A client that was kept away reaches the successor when it tries again, by itself,
    /// after a second. Elsewhere a handshake that is under way at the end may be lost.
    ///
    /// The system lets two programs share a port by mistake, and each gets half of the clients. On Linux,
    /// if `/proc` is there, another process that listens on the port is named in a warning, and a second
    /// listener of this process is an error.
    pub fn bind_shared(address: &str) -> Result<TcpListener, Error> {
        Self::bind_first(address, Origin::Shared)
    }

    fn bind_first(address: &str, origin: Origin) -> Result<TcpListener, Error> {
        let owned = || address.to_owned();
        let mut refused = None;
        for socket_address in resolve(address).map_err(|source| Error::Address {
            service: None,
            address: owned(),
            source,
        })? {
            match Self::bind_one(socket_address, origin) {
                Ok(listener) => return Ok(listener),
                Err(error) => refused = Some(error),
            }
        }
        let source = refused.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into());
        Err(Error::Bind { service: None, address: owned(), source })
    }

    fn bind_one(address: SocketAddr, origin: Origin) -> io::Result<TcpListener> {
        let shared = origin == Origin::Shared;
        let listening = match listen(address, shared) {
            Err(error) if address.ip().is_unspecified() && address.is_ipv6() && no_ipv6(&error) => {
                listen((Ipv4Addr::UNSPECIFIED, address.port()).into(), shared)?
            }
            listening => listening?,
        };
        let listener = TcpListener { origin, ..listening.try_into()? };
        if shared {
            listener.look_for_neighbours()?;
        }
        Ok(listener)
    }

    /// A successor is bound here on purpose. Somebody else would take half of the clients.
    fn look_for_neighbours(&self) -> io::Result<()> {
        let address = self.address;
        match Neighbours::of(self.listener.get_ref(), address) {
            Neighbours::Nobody => {}
            this @ Neighbours::ThisProcess => {
                let why = format!("{this} listens there already");
                return Err(io::Error::new(io::ErrorKind::AddrInUse, why));
            }
            others => {
                warn!(target: LOG, address:%, processes:% = others; "{address} is shared: {others} listens there too")
            }
        }
        Ok(())
    }

    /// Sets after how long without a byte a connection is probed, in whole seconds; `None`: never.
    /// Default: 60 s. It holds for connections that are accepted from now on.
    ///
    /// A peer that has vanished without a word (its machine is off, its network gone) leaves a connection that
    /// looks open for ever. With `SO_KEEPALIVE` (tcp(7)) the system asks it for a sign of life, on Linux every 15 s, and
    /// ends the connection after four without an answer. It is for raw TCP and upgraded connections above all,
    /// which have no limit otherwise. A socket that was handed over keeps what is set on it, if
    /// probes are on there.
    pub fn set_keep_alive(&self, after: Option<Duration>) -> io::Result<()> {
        keep_alive(self.listener.get_ref(), after)
    }

    /// The address it is bound to, with the port that was picked where 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

/// Takes over a listener that somebody else has bound.
impl TryFrom<StdListener> for TcpListener {
    type Error = io::Error;

    fn try_from(listener: StdListener) -> io::Result<TcpListener> {
        let address = listener.local_addr()?;
        // Linux hands options down to accepted sockets; elsewhere poll_accept sets this one again.
        sockopt::set_tcp_nodelay(&listener, true)?;
        if !sockopt::socket_keepalive(&listener)? {
            keep_alive(&listener, Some(PROBED_AFTER))?;
        }
        Ok(TcpListener {
            listener: Async::new(listener)?,
            address,
            origin: Origin::HandedOver,
            half_open: HalfOpen::default(),
        })
    }
}

/// Sets whether connections that this listener accepts from now on are probed. Elsewhere than on Linux the
/// times may be the system's.
fn keep_alive(listener: &StdListener, after: Option<Duration>) -> io::Result<()> {
    sockopt::set_socket_keepalive(listener, after.is_some())?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(after) = after {
        // The system takes whole seconds, 1 at least and 32767 at most (tcp(7)).
        let after = after.clamp(Duration::from_secs(1), Duration::from_secs(32_767));
        sockopt::set_tcp_keepidle(listener, after)?;
        sockopt::set_tcp_keepintvl(listener, PROBE_STEP)?;
        sockopt::set_tcp_keepcnt(listener, PROBES)?;
    }
    Ok(())
}

fn resolve(address: &str) -> io::Result<impl Iterator<Item = SocketAddr>> {
    match address.strip_prefix(':') {
        Some(port) => format!("[::]:{port}").to_socket_addrs(),
        None => address.to_socket_addrs(),
    }
}

fn listen(address: SocketAddr, shared: bool) -> io::Result<StdListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = net::socket_with(family, SocketType::STREAM, CLOEXEC, None)?;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if shared {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    if address.is_ipv6() && address.ip().is_unspecified() {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    net::bind(&socket, &address)?;
    net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

fn no_ipv6(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    code == Some(libc::EAFNOSUPPORT) || code == Some(libc::EADDRNOTAVAIL)
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, Peer)>> {
        loop {
            match accept(self.listener.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.listener.poll_readable(cx))?;
                }
                accepted => return Poll::Ready(accepted),
            }
        }
    }

    fn address(&self) -> String {
        self.address.to_string()
    }

    fn refuse_newcomers(&mut self) -> Duration {
        let refuses = || handshakes::refuse_newcomers(self.listener.get_ref());
        match self.origin {
            Origin::Own if refuses() => HANDSHAKE,
            Origin::Shared if refuses() => {
                self.half_open = HalfOpen::now(self.address.port());
                SHARED_HANDSHAKES
            }
            // A socket that was handed over lives on elsewhere.
            Origin::HandedOver | Origin::Own | Origin::Shared => Duration::ZERO,
        }
    }

    fn has_half_open(&mut self) -> bool {
        // Perhaps: for a millisecond it is not worth asking the system.
        self.origin == Origin::Own || self.half_open.any_left(self.address.port())
    }
}

/// One system call: accept4(2) hands out a socket that is non-blocking already.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn accept(listener: &StdListener) -> io::Result<(TcpStream, Peer)> {
    let (socket, peer) = net::acceptfrom_with(listener, CLOEXEC | SocketFlags::NONBLOCK)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    // accept4(2) on a TCP socket always tells the peer.
    let peer = peer.ok_or(io::ErrorKind::InvalidData)?;
    Ok((Async::new_nonblocking(socket.into())?, Peer::Tcp(peer)))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn accept(listener: &StdListener) -> io::Result<(TcpStream, Peer)> {
    let (stream, peer) = listener.accept()?;
    stream.set_nodelay(true)?;
    Ok((Async::new(stream)?, Peer::Tcp(peer)))
}
