//! Who is at the other end of a connection.

use std::fmt;
use std::net::SocketAddr;

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
