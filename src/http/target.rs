//! Where a request goes: the forms of its target, and its Host.

use std::borrow::Cow;

use http_types::Method;

use super::head::{Refusal, bad};

/// A request's target as the engine takes it.
pub(super) struct Target<'a> {
    pub(super) host: &'a str,
    pub(super) path: Cow<'a, str>,
    pub(super) asterisk: bool,
}

impl<'a> Target<'a> {
    /// The four forms of a request target (RFC 9112, 3.2).
    pub(super) fn of(
        method: &Method,
        target: &'a str,
        given: Option<&'a str>,
        http_1_0: bool,
    ) -> Result<Target<'a>, Refusal> {
        if let Some(host) = given {
            check_host(host)?;
        } else if !http_1_0 {
            return Err(bad("no Host header"));
        }
        // An HTTP/1.0 request may lack a Host; the engine needs one to make a URL of.
        let host = given.unwrap_or("localhost");
        if !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(bad("malformed request target"));
        }
        if target == "*" && *method == Method::Options {
            return Ok(Target { host, path: "/".into(), asterisk: true });
        }
        if target.starts_with('/') {
            return Ok(Target { host, path: target.into(), asterisk: false });
        }
        let (authority, path) = absolute_form(target).ok_or(bad("malformed request target"))?;
        check_host(authority)?;
        if given.is_some_and(|host| !host.eq_ignore_ascii_case(authority)) {
            return Err(bad("the Host header differs from the request target"));
        }
        Ok(Target { host: authority, path, asterisk: false })
    }
}

/// `http://host:port/path` split into authority and path.
fn absolute_form(target: &str) -> Option<(&str, Cow<'_, str>)> {
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    match rest.find(['/', '?']) {
        None => Some((rest, "/".into())),
        Some(at) if rest.as_bytes()[at] == b'/' => Some((&rest[..at], rest[at..].into())),
        // RFC 9112, 3.2.1: an empty path is sent as `/`.
        Some(at) => Some((&rest[..at], format!("/{}", &rest[at..]).into())),
    }
}

/// `uri-host [ ":" port ]` (RFC 9110, 7.2), not empty, without userinfo.
fn check_host(host: &str) -> Result<(), Refusal> {
    let (name, port) = match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => (&host[..colon], &host[colon + 1..]),
        _ => (host, ""),
    };
    let name_is_well = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(ipv6) => ipv6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.bytes().all(is_reg_name),
    };
    let port_is_well = port.is_empty()
        || port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse().is_ok_and(|port: u16| port > 0);
    match name_is_well && port_is_well {
        true => Ok(()),
        false => Err(bad("malformed Host")),
    }
}

/// A byte of a reg-name (RFC 3986, 3.2.2). The comma is left out: `a, b` is two hosts, not one.
fn is_reg_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(&byte)
}
