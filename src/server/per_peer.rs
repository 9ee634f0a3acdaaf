//! How many connections each peer has open, where that is limited.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;

use crate::net::Peer;

/// Whose connections are counted together.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Host {
    Ip(IpAddr),
    Memory(u64),
}

impl Host {
    /// `None` for Unix sockets: nobody can tell one local client from another.
    fn of(peer: &Peer) -> Option<Host> {
        match peer {
            Peer::Tcp(address) => Some(Host::Ip(match address.ip().to_canonical() {
                IpAddr::V6(ip) => {
                    // A client that has one IPv6 address has all 2^64 of its network.
                    let network = ip.to_bits() >> 64 << 64;
                    IpAddr::V6(Ipv6Addr::from_bits(network))
                }
                ipv4 => ipv4,
            })),
            Peer::Unix(_) => None,
            Peer::Memory(number) => Some(Host::Memory(*number)),
        }
    }
}

/// The connections that are open, by peer.
pub(crate) struct PerPeer {
    most: Option<usize>,
    open: RefCell<HashMap<Host, usize>>,
}

impl PerPeer {
    /// With so many for each peer at the most; `None` is no limit, and nothing is counted.
    pub(crate) fn new(most: Option<usize>) -> Rc<PerPeer> {
        Rc::new(PerPeer { most, open: RefCell::default() })
    }

    /// A place for one more connection of `peer`; `None` if it has as many as it may have.
    pub(crate) fn admit(self: &Rc<Self>, peer: &Peer) -> Option<Place> {
        let Some((most, host)) = self.most.zip(Host::of(peer)) else {
            return Some(Place(None));
        };
        let mut open = self.open.borrow_mut();
        let count = open.entry(host).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place(Some(Box::new((host, self.clone())))))
    }
}

/// One connection of a peer; dropping it makes room for another. In a box, since most are not counted.
pub(crate) struct Place(Option<Box<(Host, Rc<PerPeer>)>>);

impl Drop for Place {
    fn drop(&mut self) {
        let Some((host, per_peer)) = self.0.as_deref() else { return };
        let mut open = per_peer.open.borrow_mut();
        if let Some(count) = open.get_mut(host) {
            *count -= 1;
            if *count == 0 {
                open.remove(host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_counted_together() {
        let host = |address: &str| Host::of(&Peer::Tcp(address.parse().expect("an address")));
        assert!(host("127.0.0.1:1") == host("127.0.0.1:2"));
        assert!(host("127.0.0.1:1") == host("[::ffff:127.0.0.1]:1"));
        assert!(host("127.0.0.1:1") != host("127.0.0.2:1"));
        assert!(host("[2001:db8::1]:1") == host("[2001:db8::ffff:1:2:3]:1"));
        assert!(host("[2001:db8::1]:1") != host("[2001:db8:0:1::1]:1"));
        assert!(Host::of(&Peer::Unix(1)).is_none());
    }

    #[test]
    fn who_has_left_is_forgotten() {
        let per_peer = PerPeer::new(Some(2));
        let peer = Peer::Memory(1);
        let places = (per_peer.admit(&peer), per_peer.admit(&peer));
        assert!(places.1.is_some() && per_peer.admit(&peer).is_none());
        drop(places);
        assert!(per_peer.open.borrow().is_empty());
    }
}
