//! The PROXY protocol: a balancer that passes on TCP connections says in front of each whose it is.

mod after;
pub(super) mod header;
mod trusted;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use log::debug;

use super::connection::Connection;
use super::patience::{first_byte_of_newcomer, poll_last_look};
use super::protocol::Protocol;
use crate::net::{Peer, Stream};
use crate::register::State;
use crate::words::LOG;
use after::after;
use header::{Header, parse};
pub use trusted::TrustedPeers;

/// How much of a header is read at once, in bytes.
const READ_SIZE: usize = 512;

/// Another protocol behind a balancer that sends PROXY headers, version 1 or 2.
///
/// A balancer that passes on TCP connections hides their clients. If it says in front of each connection
/// whose it is (`send-proxy` or `send-proxy-v2` of HAProxy, `proxy_protocol on` of nginx, a target group attribute
/// of AWS), this takes the header off and notes the client: [`Connection::peer`], the
/// log, the report and [`max_connections_per_peer`](crate::Server::max_connections_per_peer) see it in place of the
/// balancer. The protocol behind it reads the bytes after the header, from the plain stream.
///
/// The port is for the balancer alone. A connection is refused
///
/// - if its peer is not among the [`TrustedPeers`], whatever it sends: otherwise anybody could pretend to be
///   somebody else;
/// - if it does not begin with a header, or with one that is malformed or longer than 4,096 bytes;
/// - if the header is not whole in time: 10 s after accept, and 2 s more at the most once the drain has begun;
/// - if the client has as many connections as it may have.
///
/// Each counts as [refused](crate::Counts::refused), and a warning says why, at most once a second for each service.
///
/// A header may name no client: LOCAL, with which a balancer checks whether the server is well, UNKNOWN, and addresses
/// that are not of IPv4 or IPv6. Then the peer stays the balancer, and is not limited in its connections. Of
/// version 2 what follows the addresses (TLVs) is skipped; a checksum (`PP2_TYPE_CRC32C`) is not checked, since TCP has one.
/// A peer that closes without having sent a byte, as simple health checks do, is not refused.
///
/// ```no_run
/// # #[cfg(feature = "http")] {
/// use adieu::http::http_types::{Request, Response, Result};
/// use adieu::{Http, ProxyProtocol, Server, SocketListener};
///
/// async fn hello(_request: Request) -> Result<Response> {
///     Ok("Hello".into())
/// }
///
/// let protocol = ProxyProtocol::new("10.0.0.0/8".parse()?, Http::new(hello));
/// let server = Server::new(SocketListener::bind("[::]:8080")?, protocol).max_connections_per_peer(100);
/// # }
/// # Ok::<(), adieu::Error>(())
/// ```
///
/// It costs a few system calls per connection (two to read a header of version 2), and none per request. The header's
/// buffer is gone once it is read.
pub struct ProxyProtocol<P> {
    trusted: TrustedPeers,
    header_time: Duration,
    protocol: Rc<P>,
}

impl<P> fmt::Debug for ProxyProtocol<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyProtocol").field("trusted", &self.trusted).finish_non_exhaustive()
    }
}

impl<P> ProxyProtocol<P> {
    /// Speaks `protocol` behind the headers of those who are trusted.
    pub fn new(trusted: TrustedPeers, protocol: P) -> ProxyProtocol<P> {
        ProxyProtocol { trusted, header_time: Duration::from_secs(10), protocol: Rc::new(protocol) }
    }

    /// Sets how long after accept the whole header may take to arrive. The default is 10 s, and less than 3 s would
    /// be too short for a packet that is lost and sent again.
    pub fn header_time(mut self, limit: Duration) -> Self {
        self.header_time = limit;
        self
    }
}

impl<S: Stream, P: Protocol<S>> Protocol<S> for ProxyProtocol<P> {
    fn serve(
        self: Rc<Self>,
        stream: S,
        connection: Connection,
    ) -> impl Future<Output = io::Result<()>> + 'static {
        let protocol = self.protocol.clone();
        // In a box that is gone once it is read: a connection that waits for its next request must not be larger.
        let header = Box::pin(receive(self, stream, connection));
        after(header, |(stream, connection)| protocol.serve(stream, connection))
    }

    fn learns_peer(&self) -> bool {
        true
    }

    fn shortest_limit(&self) -> Duration {
        self.header_time.min(self.protocol.shortest_limit())
    }
}

/// Takes the header off a connection. `None` if there will be none, and nobody is to blame: the peer has closed, or the
/// drain has begun, before the first byte.
async fn receive<S: Stream, P>(
    proxy: Rc<ProxyProtocol<P>>,
    mut stream: S,
    connection: Connection,
) -> io::Result<Option<(S, Connection)>> {
    if !proxy.trusted.contains(connection.peer()) {
        return Err(connection.refuse("is not trusted to send a PROXY header"));
    }
    let deadline = connection.clock().now().checked_add(proxy.header_time);
    connection.set_state(State::New, None);
    connection.set_limit_at(deadline);
    let mut header = Vec::new();
    let client = loop {
        let missing = match parse(&header) {
            Ok(Header::Missing(missing)) => missing,
            Ok(Header::Whole(client)) => break client,
            Err(why) => return Err(connection.refuse(&format!("sent no PROXY header: {why}"))),
        };
        let is_first = header.is_empty();
        match read(&mut stream, &connection, &mut header, missing).await? {
            Some(0) | None if is_first && !connection.expired() => return Ok(None),
            Some(0) => return Err(connection.refuse("sent no whole PROXY header")),
            None => return Err(connection.refuse("sent no PROXY header in time")),
            Some(_) if is_first => {
                connection.set_state(State::Head, None);
                connection.set_limit_at(deadline);
            }
            Some(_) => {}
        }
    };
    if let Some(client) = client {
        pass_on(&connection, client)?;
    }
    Ok(Some((stream, connection)))
}

/// Notes whose connection it is.
fn pass_on(connection: &Connection, client: SocketAddr) -> io::Result<()> {
    let (name, client) = (connection.context().name(), Peer::Tcp(client));
    debug!(target: LOG, service = name, peer:% = client; "{name}: {client} comes by way of {}", connection.peer());
    connection.set_peer(client)
}

/// Reads once, and no more than `most` bytes. 0 is the end; `None` if the wait for them is over, by rule 5 of
/// the drain or because the time is.
async fn read<S: Stream>(
    stream: &mut S,
    connection: &Connection,
    header: &mut Vec<u8>,
    most: usize,
) -> io::Result<Option<usize>> {
    let is_first = header.is_empty();
    let mut poll_read = |stream: &mut S, cx: &mut Context<'_>| {
        let mut buffer = [0; READ_SIZE];
        let amount = ready!(Pin::new(stream).poll_read(cx, &mut buffer[..most.min(READ_SIZE)]))?;
        header.extend_from_slice(&buffer[..amount]);
        connection.count_received(amount);
        Poll::Ready(Ok(amount))
    };
    let amount = poll_fn(|cx| {
        let asked = is_first && connection.should_close();
        poll_last_look(connection, asked, stream, cx, &mut poll_read)
    });
    match amount.await? {
        None if is_first => first_byte_of_newcomer(connection, poll_fn(|cx| poll_read(stream, cx)))
            .await
            .transpose(),
        amount => Ok(amount),
    }
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use super::*;
    use crate::http::Http;
    use crate::net::SocketStream;

    /// How large the future is that serves a connection.
    fn size<P, F: Future>(_serve: impl FnOnce(Rc<P>, SocketStream, Connection) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn behind_the_header_a_connection_is_eight_bytes_larger_at_the_most() {
        let plain = size(<Http as Protocol<SocketStream>>::serve);
        let proxied = size(<ProxyProtocol<Http> as Protocol<SocketStream>>::serve);
        assert!(proxied <= plain + 8, "{plain} and {proxied} bytes");
    }
}
