//! From whom a PROXY header is taken.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use crate::error::Error;
use crate::net::Peer;

/// How many bits an address has, as IPv6 writes it.
const BITS: u32 = Ipv6Addr::BITS;

/// How many of them say that it is one of IPv4 (RFC 4291, 2.5.5.2).
const IPV4_PREFIX: u32 = 96;

/// The peers from which a PROXY header is taken: the balancers in front of a server.
///
/// It is parsed from networks and addresses with commas between them, such as `10.0.0.0/8, 192.0.2.7,
/// 2001:db8::/32`. The word `unix` stands for every client of a Unix socket, whose file's mode says who that can be,
/// and of the in-memory network of a test. `0.0.0.0/0` is all of IPv4 and `::/0` is all of IPv6.
///
/// ```
/// let trusted: adieu::TrustedPeers = "10.0.0.0/8, unix".parse()?;
/// # Ok::<(), adieu::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Trusted`], which names what is no network and says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedPeers {
    networks: Vec<Network>,
    unix: bool,
}

/// Addresses that begin alike. IPv4 is kept as IPv6 writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    ip: Ipv6Addr,
    prefix: u32,
}

impl TrustedPeers {
    pub(super) fn contains(&self, peer: &Peer) -> bool {
        match peer {
            Peer::Tcp(address) => self.networks.iter().any(|it| it.contains(address.ip())),
            Peer::Unix(_) | Peer::Memory(_) => self.unix,
        }
    }
}

impl FromStr for TrustedPeers {
    type Err = Error;

    fn from_str(list: &str) -> Result<TrustedPeers, Error> {
        let mut trusted = TrustedPeers { networks: Vec::new(), unix: false };
        for network in list.split(',').map(str::trim) {
            let wrong = |why| Error::Trusted { network: network.to_owned(), why };
            match network {
                "unix" => trusted.unix = true,
                _ => trusted.networks.push(network.parse().map_err(wrong)?),
            }
        }
        Ok(trusted)
    }
}

impl Network {
    fn contains(&self, ip: IpAddr) -> bool {
        // What is wider than all of IPv4 is meant for IPv6.
        let is_of_its_kind = self.prefix >= IPV4_PREFIX || ip.to_canonical().is_ipv6();
        is_of_its_kind && first_bits(as_ipv6(ip), self.prefix) == self.ip
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(network: &str) -> Result<Network, String> {
        let (ip, prefix) = match network.split_once('/') {
            Some((ip, prefix)) => (ip, Some(prefix)),
            None => (network, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| format!("{ip:?} is no IP address"))?;
        let most = if ip.is_ipv4() { BITS - IPV4_PREFIX } else { BITS };
        let is_number = |digits: &&str| digits.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = match prefix {
            None => most,
            Some(digits) => Some(digits)
                .filter(is_number)
                .and_then(|digits| digits.parse().ok())
                .filter(|bits| *bits <= most)
                .ok_or_else(|| format!("behind the / there must be a number up to {most}"))?,
        };
        let network = Network { ip: as_ipv6(ip), prefix: prefix + BITS - most };
        let first = first_bits(network.ip, network.prefix);
        if first != network.ip {
            let first = if ip.is_ipv4() { first.to_canonical() } else { first.into() };
            return Err(format!("the network of this address is {first}/{prefix}"));
        }
        Ok(network)
    }
}

fn as_ipv6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// The same address, with zeros in place of all that follows its first bits.
fn first_bits(ip: Ipv6Addr, bits: u32) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(BITS - bits).unwrap_or(0);
    Ipv6Addr::from_bits(ip.to_bits() & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusts(list: &str, ip: &str) -> bool {
        let peer = Peer::Tcp((ip.parse::<IpAddr>().expect("an address"), 1).into());
        list.parse::<TrustedPeers>().expect("a list").contains(&peer)
    }

    #[test]
    fn a_network_has_the_addresses_that_begin_alike_and_no_others() {
        for (list, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.6/31", "192.0.2.7", "192.0.2.8"),
            ("::ffff:10.0.0.0/104", "10.1.2.3", "11.1.2.3"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
            ("::1", "::1", "::2"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("::/0", "2001:db8::1", "203.0.113.9"),
            ("::/0", "::1", "::ffff:203.0.113.9"),
            ("192.0.2.1,2001:db8::/32 , 10.0.0.0/8", "10.0.0.1", "192.0.2.2"),
        ] {
            assert!(trusts(list, inside), "{list} and {inside}");
            assert!(!trusts(list, outside), "{list} and {outside}");
        }
    }

    #[test]
    fn clients_of_a_unix_socket_are_trusted_by_a_word_of_their_own() {
        let trusts =
            |list: &str, peer| list.parse::<TrustedPeers>().expect("a list").contains(&peer);
        assert!(trusts("unix", Peer::Unix(7)) && trusts("10.0.0.0/8,unix", Peer::Unix(1)));
        assert!(!trusts("0.0.0.0/0,::/0", Peer::Unix(1)));
        assert!(!trusts("unix", Peer::Tcp(([127, 0, 0, 1], 1).into())));
    }

    #[test]
    fn what_is_no_network_is_named_and_told_why() {
        for (list, network, why) in [
            ("", "", "\"\" is no IP address"),
            ("10.0.0.0/8,", "", "\"\" is no IP address"),
            ("10.0.0.0/8,balancer", "balancer", "\"balancer\" is no IP address"),
            ("10.0.0/8", "10.0.0/8", "\"10.0.0\" is no IP address"),
            ("10.0.0.0/33", "10.0.0.0/33", "behind the / there must be a number up to 32"),
            ("10.0.0.0/", "10.0.0.0/", "behind the / there must be a number up to 32"),
            ("10.0.0.0/+8", "10.0.0.0/+8", "behind the / there must be a number up to 32"),
            ("::/129", "::/129", "behind the / there must be a number up to 128"),
            ("10.1.2.3/8", "10.1.2.3/8", "the network of this address is 10.0.0.0/8"),
            ("2001:db8::1/32", "2001:db8::1/32", "the network of this address is 2001:db8::/32"),
        ] {
            let error = list.parse::<TrustedPeers>().expect_err(list).to_string();
            assert_eq!(
                error,
                format!(
                    "{network:?} is not a network to trust, such as 10.0.0.0/8, ::1 or unix: {why}"
                )
            );
        }
    }
}
