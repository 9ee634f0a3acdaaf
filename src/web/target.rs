//! Where a request goes: the forms of its target (RFC 9112, 3.2).
//!
//! A target with a byte that RFC 3986 does not allow in a URI is refused, for what stands behind a
//! server makes of such bytes what it likes: a URL parser reads `/x\..\admin` as `/admin`. These are
//! `" < > \ ^ { | }` and the backtick, everything that is not ASCII, and a percent sign without two
//! hexadecimal digits. A fragment (`#`) has no place in a target either. Square brackets are let in, though
//! RFC 3986 has them in hosts alone: browsers send them as they are (`?filter[name]=x`), and no parser
//! rewrites them.
//!
//! Dot segments (`/a/../b`, also as `%2e%2e`) are let in as they are.

use std::borrow::Cow;

use super::host::check_host;

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

const MALFORMED: &str = "malformed request target";

/// Whether each byte of a target, or of its path and query, may stand in a URI; if not, why.
pub(crate) fn check_bytes(target: &str) -> Result<(), &'static str> {
    let mut bytes = target.bytes();
    while let Some(byte) = bytes.next() {
        let mut is_hex = || bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit());
        let is_well = match byte {
            b'%' => is_hex() && is_hex(),
            _ => byte.is_ascii_alphanumeric() || b"/?-._~:@!$&'()*+,;=[]".contains(&byte),
        };
        if !is_well {
            return Err(MALFORMED);
        }
    }
    Ok(())
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
