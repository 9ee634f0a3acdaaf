//! Where a request goes: the forms of its target (RFC 9112, 3.2).
//!
//! Dot segments (`/a/../b`, also as `%2e%2e`) are let in as they are.

use std::borrow::Cow;

use super::host::check_host;
use super::uri::{MALFORMED, check_bytes};

/// What a request target names.
pub(crate) struct Target<'a> {
    /// The host: of the target, or else of the Host header. `None` if neither has one.
    pub(crate) host: Option<&'a str>,
    /// Path and query, beginning with a slash.
    pub(crate) path: Cow<'a, str>,
    /// `*`: about the server and not about a resource.
    pub(crate) asterisk: bool,
}

impl<'a> Target<'a> {
    /// Reads a target beside the value of the Host header, if there is one. Only `OPTIONS` has the form `*`.
    pub(crate) fn read(
        target: &'a str,
        host: Option<&'a str>,
        is_options: bool,
    ) -> Result<Target<'a>, &'static str> {
        if let Some(host) = host {
            check_host(host)?;
        }
        check_bytes(target)?;
        if target == "*" && is_options {
            return Ok(Target { host, path: "/".into(), asterisk: true });
        }
        if target.starts_with('/') {
            return Ok(Target { host, path: target.into(), asterisk: false });
        }
        let (authority, path) = absolute_form(target).ok_or(MALFORMED)?;
        check_host(authority)?;
        if host.is_some_and(|host| !host.eq_ignore_ascii_case(authority)) {
            return Err("the Host header differs from the request target");
        }
        Ok(Target { host: Some(authority), path, asterisk: false })
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
