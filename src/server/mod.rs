//! A listener and a protocol make a [`Service`].

mod accept;
mod connection;
mod patience;
mod protocol;
mod proxy;
mod refusal;
mod task;
mod tcp;

use std::io;
use std::time::Duration;

use log::debug;

use crate::error::{BoxError, Error};
use crate::net::{Listener, SocketListener, SocketStream};
use crate::service::{Context, Service};
use crate::words::LOG;
use accept::Accepting;
pub use connection::Connection;
#[cfg(feature = "http")]
pub(crate) use patience::deliver;
#[cfg(any(feature = "http", feature = "hyper"))]
pub(crate) use patience::{first_byte_of_newcomer, linger, poll_last_look};
pub use protocol::Protocol;
pub use proxy::{ProxyProtocol, TrustedPeers};
pub use tcp::Tcp;

#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod parts {
    //! The parser of PROXY headers, for the fuzzers.
    pub use super::proxy::header::{Header, MAX, parse};
}

/// Descriptors that the default connection limit leaves to the rest of the process.
const RESERVED: u64 = 32;

/// A listener and what is spoken on it.
#[derive(Debug)]
pub struct Server<L, P> {
    listener: L,
    protocol: P,
    max_connections: usize,
    max_connections_per_peer: Option<usize>,
    max_age: Option<Duration>,
}

impl<L: Listener, P: Protocol<L::Stream>> Server<L, P> {
    /// Serves `protocol` on a bound listener.
    pub fn new(listener: L, protocol: P) -> Server<L, P> {
        let max_connections = default_max_connections();
        Server {
            listener,
            protocol,
            max_connections,
            max_connections_per_peer: None,
            max_age: None,
        }
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
    /// address; clients of a Unix socket are not limited. Behind a [`ProxyProtocol`] the balancer's
    /// clients are counted, and not the balancer. Default: no limit, since behind any other proxy
    /// all clients are one peer.
    pub fn max_connections_per_peer(mut self, limit: usize) -> Self {
        self.max_connections_per_peer = Some(limit.max(1));
        self
    }

    /// Sets how old a connection may get, give or take ten per cent, so that those that came together do not go
    /// together. Then its client is sent elsewhere: the next answer says `Connection: close`, an HTTP/2 client
    /// is told with GOAWAY, a raw TCP handler by
    /// [`Connection::asked_to_leave`] and [`Connection::read`]. What is in flight goes on. It is for
    /// load that must spread: a client that never goes never sees a new instance. Default: no limit.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
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
        let address = self.listener.address();
        debug!(target: LOG, service = cx.name(), address; "{} listening on {address}", cx.name());
        let cx = cx.listening_on(&address);
        cx.register().listens_on(address);
        cx.register().set_shortest_limit(self.protocol.shortest_limit());
        self.max_age.inspect(|age| cx.register().set_max_age(*age));
        let Server { listener, protocol, max_connections, max_connections_per_peer, .. } = self;
        let accepting =
            Accepting::new(listener, protocol, max_connections, max_connections_per_peer, cx);
        Ok(accepting.run().await?)
    }
}

impl<F> Tcp<F>
where
    F: AsyncFn(&mut SocketStream, &Connection) -> io::Result<()> + 'static,
{
    /// Binds a TCP or Unix socket (see [`SocketListener::bind`]) and serves `handler` on it.
    ///
    /// ```no_run
    /// use adieu::{Connection, SocketStream, Tcp};
    /// use futures_lite::AsyncWriteExt;
    ///
    /// async fn echo(stream: &mut SocketStream, connection: &Connection) -> std::io::Result<()> {
    ///     let mut bytes = Vec::new();
    ///     while connection.read(stream, &mut bytes).await? > 0 {
    ///         stream.write_all(&std::mem::take(&mut bytes)).await?;
    ///     }
    ///     Ok(())
    /// }
    ///
    /// let server = Tcp::bind("[::]:9000", echo)?;
    /// # Ok::<(), adieu::Error>(())
    /// ```
    pub fn bind(address: &str, handler: F) -> Result<Server<SocketListener, Tcp<F>>, Error> {
        Ok(Server::new(SocketListener::bind(address)?, Tcp::new(handler)))
    }
}
