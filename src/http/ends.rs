//! The two ends of a request's connection, told to the request.

use std::fmt::{self, Write};
use std::net::IpAddr;

use http_types::Request;

use crate::net::Peer;
use crate::server::Connection;

/// Says who sent the request, and where the server listens.
pub(super) fn set_ends(request: &mut Request, connection: &Connection) {
    request.set_peer_addr(Some(Words::of(connection.peer()).as_str()));
    request.set_local_addr(Some(connection.server_address()));
}

/// A peer in words, as it is displayed: made without an allocation, and the peers that there are most of without
/// the formatting machinery, which would cost each request a thousand instructions.
struct Words {
    room: [u8; 64],
    len: usize,
}

impl Words {
    fn of(peer: &Peer) -> Words {
        let mut words = Words { room: [0; 64], len: 0 };
        if let Peer::Tcp(address) = peer
            && let IpAddr::V4(ip) = address.ip().to_canonical()
        {
            for (octet, behind) in ip.octets().into_iter().zip(*b"...:") {
                words.put_number(octet.into());
                words.put(behind);
            }
            words.put_number(address.port());
        } else {
            // The longest is an IPv6 address with a scope and a port: there is room for it.
            let _ = write!(words, "{peer}");
        }
        words
    }

    fn put_number(&mut self, number: u16) {
        if number >= 10 {
            self.put_number(number / 10);
        }
        self.put(b'0' + (number % 10) as u8);
    }

    fn put(&mut self, byte: u8) {
        self.room[self.len] = byte;
        self.len += 1;
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.room[..self.len]).unwrap_or_default()
    }
}

impl Write for Words {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.room.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_told_as_it_is_displayed() {
        let addresses = [
            "0.0.0.0:0",
            "1.20.255.99:65535",
            "[::]:80",
            "[::ffff:192.0.2.1]:8080",
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
            "[fe80::1234:5678:9abc:def0%4294967295]:65535",
        ];
        let tcp = addresses.map(|address| Peer::Tcp(address.parse().expect("an address")));
        for peer in tcp.into_iter().chain([Peer::Unix(u64::MAX), Peer::Memory(1)]) {
            assert_eq!(Words::of(&peer).as_str(), peer.to_string());
        }
    }
}
