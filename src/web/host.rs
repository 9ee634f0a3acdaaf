//! The host that a request is for.

use std::net::{Ipv4Addr, Ipv6Addr};

/// `uri-host [ ":" port ]` (RFC 9110, 7.2), not empty, without userinfo, and in a form that means the same
/// to everybody.
///
/// RFC 3986 allows more: percent-encoded names, numbers that URL parsers take for IPv4 addresses (`1.2` is
/// 1.0.0.2, `0x7f.1` is 127.0.0.1), empty labels. Programs read them in different ways, and two of them
/// would see two hosts. So a name that ends in a number is one only as a plain IPv4 address.
pub(crate) fn is_host(host: &str) -> bool {
    let (name, port) = match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => (&host[..colon], &host[colon + 1..]),
        _ => (host, ""),
    };
    let is_name = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(ipv6) => ipv6.parse::<Ipv6Addr>().is_ok(),
        None if ends_in_a_number(name) => name.parse::<Ipv4Addr>().is_ok(),
        None => is_reg_name(name),
    };
    let is_port = port.is_empty()
        || port.bytes().all(|byte| byte.is_ascii_digit())
            && !port.starts_with('0')
            && port.parse::<u16>().is_ok();
    is_name && is_port
}

/// As the URL standard has it: the last label, or the one before a final dot, is decimal or hexadecimal.
fn ends_in_a_number(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let digits = |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit());
    digits(last) || hexadecimal.is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Labels of reg-name's characters (RFC 3986, 3.2.2), one final dot at most. The comma is left out
/// (`a, b` is two hosts, not one), and so is the percent sign.
fn is_reg_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~!$&'()*+;=".contains(&byte);
        !label.is_empty() && label.bytes().all(is_byte)
    };
    name.strip_suffix('.').unwrap_or(name).split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_could_be_read_in_two_ways_is_refused() {
        for host in [
            "example.com",
            "EXAMPLE.com:80",
            "localhost:8080",
            "a_b.c",
            "-a",
            "xn--bcher-kva.example",
            "example.com.",
            "127.0.0.1",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:8080",
            "[0:0::1]",
            "1.a",
            "a:",
        ] {
            assert!(is_host(host), "{host}");
        }
        for host in [
            "",
            ":80",
            ".",
            "a..b",
            ".a",
            "a, b",
            "a b",
            "user@a",
            "a/b",
            "%65xample.com",
            "é",
            "a:x",
            "a:65536",
            "a:080",
            "a:0",
            "0x7f.1",
            "1.2",
            "1",
            "127.1",
            "256.1.1.1",
            "01.2.3.4",
            "1.2.3.4.",
            "a.1",
            "a.0x1",
            "0x",
            "[::1",
            "::1",
            "[::g]",
            "[1.2.3.4]",
            "a\\b",
            "a^b",
        ] {
            assert!(!is_host(host), "{host}");
        }
    }
}
