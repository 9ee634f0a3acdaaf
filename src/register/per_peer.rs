//! Whose each connection is, and how many each peer has, where that is limited.

use std::cell::{Cell, OnceCell, RefCell};
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

    /// A seat for a connection of somebody whom nobody has counted yet; `None` where there is no limit.
    pub(crate) fn seat(self: &Rc<Self>) -> Option<Box<Seat>> {
        self.most?;
        let (counted, client) = Default::default();
        Some(Box::new(Seat { per_peer: Some(self.clone()), counted, client }))
    }

    /// Counts one more connection; false if the host has as many as it may have.
    fn enter(&self, host: Host) -> bool {
        let mut open = self.open.borrow_mut();
        let count = open.entry(host).or_default();
        if self.most.is_some_and(|most| *count >= most) {
            return false;
        }
        *count += 1;
        true
    }

    fn leave(&self, host: Host) {
        let mut open = self.open.borrow_mut();
        if let Some(count) = open.get_mut(&host) {
            *count -= 1;
            if *count == 0 {
                open.remove(&host);
            }
        }
    }
}

/// Among whose connections one is counted; dropping it makes room for another.
#[derive(Default)]
pub(crate) struct Seat {
    /// `None` where there is no limit.
    per_peer: Option<Rc<PerPeer>>,
    counted: Cell<Option<Host>>,
    /// Whose the connection is, if its peer has only passed it on.
    client: OnceCell<Peer>,
}

impl Seat {
    /// Counts the connection as one of `peer`, and of nobody else; false if that has as many as it may have.
    pub(crate) fn take(&self, peer: &Peer) -> bool {
        let Some(per_peer) = &self.per_peer else { return true };
        if let Some(earlier) = self.counted.take() {
            per_peer.leave(earlier);
        }
        let Some(host) = Host::of(peer) else { return true };
        let admitted = per_peer.enter(host);
        self.counted.set(admitted.then_some(host));
        admitted
    }

    pub(super) fn client(&self) -> Option<&Peer> {
        self.client.get()
    }

    /// Notes whose connection it is, once, and counts it as one of theirs; false as for `take`.
    pub(super) fn belongs_to(&self, client: Peer) -> bool {
        self.take(self.client.get_or_init(|| client))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some((per_peer, host)) = self.per_peer.take().zip(self.counted.take()) {
            per_peer.leave(host);
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
        let seats = [(); 3].map(|()| per_peer.seat().expect("there is a limit"));
        assert_eq!(seats.each_ref().map(|seat| seat.take(&peer)), [true, true, false]);
        drop(seats);
        assert!(per_peer.open.borrow().is_empty());
    }

    #[test]
    fn a_connection_that_was_passed_on_is_its_clients_and_no_longer_its_peers() {
        let per_peer = PerPeer::new(Some(1));
        let seat = || per_peer.seat().expect("there is a limit");
        let (balancer, client) = (Peer::Memory(1), Peer::Memory(2));
        let (first, second) = (seat(), seat());
        assert!(first.take(&balancer) && !second.take(&balancer));
        assert!(first.belongs_to(client.clone()) && second.take(&balancer));
        assert!(!second.belongs_to(client.clone()), "the client has one already");
        assert_eq!(second.client(), Some(&client), "it can be named all the same");
    }
}
