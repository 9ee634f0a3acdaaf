//! The PROXY header in its two versions, as bytes: sections 2.1 and 2.2 of proxy-protocol.txt, which HAProxy publishes.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// How long a header may be, in bytes: all of version 2, with what stands behind its addresses.
pub const MAX: usize = 4096;

/// How version 1 begins. It is one line of text.
const V1: &[u8] = b"PROXY ";

/// How long that line may be, with its end.
const V1_MAX: usize = 107;

/// How version 2 begins.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What comes before the addresses in version 2.
const V2_FIXED: usize = 16;

/// The shortest header of all: `PROXY UNKNOWN\r\n`.
const SHORTEST: usize = 15;

/// What a header says, or how much of it has not arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Header {
    /// It has at least so many bytes more. So if no more than these are read, nothing is read of what
    /// stands behind it.
    Missing(usize),
    /// It is whole. With the client's address, if it tells one: not if the balancer has opened the connection
    /// for itself, to see whether the server is well.
    Whole(Option<SocketAddr>),
}

/// Reads what has arrived, and nothing behind the header.
///
/// # Errors
///
/// What is wrong, if this is not how a header begins.
pub fn parse(bytes: &[u8]) -> Result<Header, &'static str> {
    let may_be = |version: &[u8]| version.iter().zip(bytes).all(|(one, other)| one == other);
    match (may_be(V1), may_be(V2)) {
        (false, false) => Err("it begins otherwise"),
        _ if bytes.len() < SHORTEST => Ok(Header::Missing(SHORTEST - bytes.len())),
        (true, _) => parse_v1(bytes),
        (false, true) => parse_v2(bytes),
    }
}

fn parse_v1(bytes: &[u8]) -> Result<Header, &'static str> {
    let least_address = match &bytes[V1.len()..] {
        [b'T', b'C', b'P', b'4', b' ', ..] => Some("1.1.1.1".len()),
        [b'T', b'C', b'P', b'6', b' ', ..] => Some("::".len()),
        [b'U', b'N', b'K', b'N', b'O', b'W', b'N', b' ' | b'\r', ..] => None,
        _ => return Err("the protocol is neither TCP4 nor TCP6 nor UNKNOWN"),
    };
    let (line, end) = match bytes {
        [line @ .., b'\r', b'\n'] => (line, 2),
        [line @ .., b'\r'] => (line, 1),
        line => (line, 0),
    };
    if line.iter().any(|byte| b"\r\n".contains(byte)) {
        return Err("its end is not CR LF");
    }
    if end < 2 {
        let missing = least_address.map_or(0, |least| missing_fields(line, least)) + 2 - end;
        return match bytes.len() + missing <= V1_MAX {
            true => Ok(Header::Missing(missing)),
            false => Err("the line is too long"),
        };
    }
    let fields = std::str::from_utf8(line).map_err(|_| "the line is not ASCII")?.split(' ');
    match fields.collect::<Vec<_>>()[..] {
        [_, "UNKNOWN", ..] => Ok(Header::Whole(None)),
        [_, protocol, source, destination, source_port, destination_port] => {
            address(protocol, destination, destination_port)?;
            Ok(Header::Whole(Some(address(protocol, source, source_port)?)))
        }
        _ => Err("the line has not six fields"),
    }
}

/// How many bytes the fields of a line still need.
fn missing_fields(line: &[u8], least_address: usize) -> usize {
    let mut fields = line.split(|&byte| byte == b' ');
    let least = ["PROXY".len(), "TCP4".len(), least_address, least_address, 1, 1];
    let missing = least.map(|least| match fields.next() {
        Some(begun) => least.saturating_sub(begun.len()),
        None => " ".len() + least,
    });
    missing.iter().sum()
}

fn address(protocol: &str, ip: &str, port: &str) -> Result<SocketAddr, &'static str> {
    let ip = match protocol {
        "TCP4" => ip.parse::<Ipv4Addr>().map_err(|_| "an address is not one of IPv4")?.into(),
        _ => ip.parse::<Ipv6Addr>().map_err(|_| "an address is not one of IPv6")?.into(),
    };
    let is_written_well = port == "0" || port.starts_with(|first| matches!(first, '1'..='9'));
    match port.parse() {
        Ok(port) if is_written_well => Ok(SocketAddr::new(ip, port)),
        _ => Err("a port is not a number below 65,536"),
    }
}

fn parse_v2(bytes: &[u8]) -> Result<Header, &'static str> {
    let (version, command) = (bytes[12] >> 4, bytes[12] & 15);
    let (family, transport) = (bytes[13] >> 4, bytes[13] & 15);
    if version != 2 {
        return Err("the version is not 2");
    }
    let addresses = match (command, family, transport) {
        // LOCAL: what else it says does not count.
        (0, _, _) => 0,
        (1, 1, 1 | 2) => 12,
        (1, 2, 1 | 2) => 36,
        (1, 3, 1 | 2) => 216,
        (1, 0..=3, 0..=2) => 0,
        (1, _, _) => return Err("the family or the transport is unknown"),
        _ => return Err("the command is neither LOCAL nor PROXY"),
    };
    let &[high, low, ref rest @ ..] = &bytes[14..] else {
        return Ok(Header::Missing(V2_FIXED - bytes.len() + addresses));
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length < addresses {
        return Err("it is too short for its addresses");
    }
    if V2_FIXED + length > MAX {
        return Err("it is longer than 4,096 bytes");
    }
    match rest.len() {
        arrived if arrived < length => Ok(Header::Missing(length - arrived)),
        arrived if arrived > length => Err("something stands behind it"),
        _ => Ok(Header::Whole(match addresses {
            12 => source::<4>(rest),
            36 => source::<16>(rest),
            _ => None,
        })),
    }
}

/// The first of two addresses of so many bytes, which their ports follow.
fn source<const N: usize>(addresses: &[u8]) -> Option<SocketAddr>
where
    std::net::IpAddr: From<[u8; N]>,
{
    let (ip, rest) = addresses.split_first_chunk::<N>()?;
    let port = rest.get(N..)?.first_chunk()?;
    Some(SocketAddr::new((*ip).into(), u16::from_be_bytes(*port)))
}
