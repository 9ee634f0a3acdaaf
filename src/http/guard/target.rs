//! Where a request goes: the forms of its target, and its Host.

use std::borrow::Cow;

use http_types::Method;

use super::refusal::{Refusal, bad};
use crate::web::{is_host, is_target};

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
            check(is_host(host), "malformed Host")?;
        } else if !http_1_0 {
            return Err(bad("no Host header"));
        }
        // An HTTP/1.0 request may lack a Host; the engine needs one to make a URL of.
        let host = given.unwrap_or("localhost");
        if target == "*" && *method == Method::Options {
            return Ok(Target { host, path: "/".into(), asterisk: true });
        }
        if target.starts_with('/') {
            check(is_target(target), "malformed request target")?;
            return Ok(Target { host, path: target.into(), asterisk: false });
        }
        let (authority, path) = absolute_form(target).ok_or(bad("malformed request target"))?;
        check(is_host(authority) && is_target(&path), "malformed request target")?;
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

fn check(is_well: bool, problem: &'static str) -> Result<(), Refusal> {
    if is_well { Ok(()) } else { Err(bad(problem)) }
}
