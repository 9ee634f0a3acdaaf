//! The host that a request is for: `uri-host [ ":" port ]` (RFC 9110, 7.2).
//!
//! A proxy in front compares the bytes of a host; a URL parser behind it rewrites some of them (host
//! parsing in the URL standard, url.spec.whatwg.org). Both must come to the same host, so what a URL
//! parser would rewrite is refused:
//!
//! | refused | a URL parser reads |
//! |---|---|
//! | `%65xample.com` | `example.com` |
//! | `0x7f.1`, `1.2`, `127.0.0.01`, `127.0.0.1.` | an IPv4 address in its usual form |
//! | `[0::1]`, `[::ffff:1.2.3.4]` | `[::1]`, `[::ffff:102:304]` |
//! | `test:080` | port 80 |
//!
//! Capital letters are let in, since case makes no difference to a host (RFC 3986, 3.2.2). So is `test:`,
//! which names the default port, and every other name of the bytes that RFC 3986 allows: `a_b`, `a..b`,
//! `xn--nxasmq6b`. (`Http` also refuses an `xn--` name that encodes nothing: its engine makes no URL of it.)

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether a host is let in; if not, why. It must not be empty, or contain a user name.
pub(crate) fn check_host(host: &str) -> Result<(), &'static str> {
    let (name, port) = match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => (&host[..colon], &host[colon + 1..]),
        _ => (host, ""),
    };
    let name_is_well = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(address) => is_ipv6(address),
        None if ends_in_a_number(name) => name.parse::<Ipv4Addr>().is_ok(),
        None => !name.is_empty() && name.bytes().all(is_reg_name),
    };
    match name_is_well && is_port(port) {
        true => Ok(()),
        false => Err("malformed Host"),
    }
}

/// A byte of a reg-name (RFC 3986, 3.2.2), but for two: a percent sign is decoded by a URL parser, and with
/// a comma `a, b` would be one host and not two.
fn is_reg_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(&byte)
}

/// Whether a URL parser takes the name for an IPv4 address ("ends in a number checker" of the URL standard).
fn ends_in_a_number(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or(name);
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let is_decimal = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    is_decimal || hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// An IPv6 address as the URL standard writes it: RFC 5952, but never with an IPv4 address at its end.
fn is_ipv6(text: &str) -> bool {
    let Ok(address) = text.parse::<Ipv6Addr>() else {
        return false;
    };
    let written = match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] => format!("::ffff:{high:x}:{low:x}"),
        _ => address.to_string(),
    };
    text.eq_ignore_ascii_case(&written)
}

/// Nothing, which is the default port, or a number from 1 to 65535 without leading zeros.
fn is_port(port: &str) -> bool {
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    port.is_empty() || is_number && port.parse::<u16>().is_ok()
}
