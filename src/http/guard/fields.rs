//! What the header lines of a request say.
//!
//! It decides how the body is framed and whether the connection stays open, and writes the head anew for
//! the engine, in the one form that async-h1 takes: `HTTP/1.1`, origin-form, one Host, no body headers, no
//! Expect.

use std::str::FromStr;

use http_types::{Method, StatusCode};

use super::head::{Framing, Head};
use super::refusal::{Refusal, bad, refuse};
use crate::web::Limits;
use crate::web::{Target, is_token, tokens};

/// The host of an HTTP/1.0 request that names none: the engine needs one to make a URL.
const NO_HOST: &str = "localhost";

/// What the header lines say, while they are read.
pub(super) struct Fields<'a> {
    method: Method,
    http_1_0: bool,
    target: &'a str,
    host: Option<&'a str>,
    length: Option<u64>,
    codings: Vec<&'a str>,
    has_coding: bool,
    close: bool,
    keep_alive: bool,
    upgrade_option: bool,
    upgrade: bool,
    expects_continue: bool,
    others: Vec<u8>,
}

impl<'a> Fields<'a> {
    pub(super) fn read(request: &httparse::Request<'_, 'a>) -> Result<Fields<'a>, Refusal> {
        let method = request.method.ok_or(bad("malformed request line"))?;
        let http_1_0 = request.version == Some(0);
        let mut fields = Fields {
            method: known_method(method)?,
            http_1_0,
            target: request.path.ok_or(bad("malformed request line"))?,
            host: None,
            length: None,
            codings: Vec::new(),
            has_coding: false,
            close: false,
            keep_alive: false,
            upgrade_option: false,
            upgrade: false,
            expects_continue: false,
            others: Vec::with_capacity(256),
        };
        for header in request.headers.iter() {
            fields.header(header.name, header.value)?;
        }
        Ok(fields)
    }

    fn header(&mut self, name: &str, value: &'a [u8]) -> Result<(), Refusal> {
        // http-types cannot hold what is not ASCII (obs-text), and panics on it.
        let value = match std::str::from_utf8(value) {
            Ok(value) if value.is_ascii() => value.trim_matches([' ', '\t']),
            _ => return Err(bad("a header value is not ASCII")),
        };
        if name.eq_ignore_ascii_case("host") {
            return match self.host.replace(value) {
                None => Ok(()),
                Some(_) => Err(bad("more than one Host header")),
            };
        } else if name.eq_ignore_ascii_case("content-length") {
            return match self.length.replace(content_length(value)?) {
                None => Ok(()),
                Some(_) => Err(bad("more than one Content-Length header")),
            };
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            self.has_coding = true;
            self.codings.extend(tokens(value));
            return Ok(());
        } else if name.eq_ignore_ascii_case("expect") {
            // RFC 9110, 10.1.1: an HTTP/1.0 client cannot mean it.
            if !self.http_1_0 && !value.eq_ignore_ascii_case("100-continue") {
                return Err(refuse(
                    StatusCode::ExpectationFailed,
                    "only 100-continue is expected here",
                ));
            }
            self.expects_continue = !self.http_1_0;
            return Ok(());
        } else if name.eq_ignore_ascii_case("connection") {
            for option in tokens(value) {
                if !option.bytes().all(is_token) {
                    return Err(bad("malformed Connection"));
                }
                self.close |= option.eq_ignore_ascii_case("close");
                self.keep_alive |= option.eq_ignore_ascii_case("keep-alive");
                self.upgrade_option |= option.eq_ignore_ascii_case("upgrade");
            }
        } else if name.eq_ignore_ascii_case("upgrade") {
            self.upgrade = true;
        }
        write_line(&mut self.others, &[name, ": ", value]);
        Ok(())
    }

    pub(super) fn finish(self, len: usize) -> Result<Head, Refusal> {
        let framing = self.framing()?;
        if matches!(self.method, Method::Connect | Method::Trace) {
            return Err(refuse(
                StatusCode::MethodNotAllowed,
                "CONNECT and TRACE are not allowed here",
            ));
        }
        if self.host.is_none() && !self.http_1_0 {
            return Err(bad("no Host header"));
        }
        let is_options = self.method == Method::Options;
        let target = Target::read(self.target, self.host, is_options).map_err(bad)?;
        let (path, has_host) = (&*target.path, target.host.is_some());
        let host = target.host.unwrap_or(NO_HOST);
        let mut canonical = Vec::with_capacity(self.others.len() + path.len() + host.len() + 48);
        let method = self.method.as_ref();
        let path_at = method.len() + 1..method.len() + 1 + path.len();
        write_line(&mut canonical, &[method, " ", path, " HTTP/1.1"]);
        write_line(&mut canonical, &["host: ", host]);
        canonical.extend_from_slice(&self.others);
        canonical.extend_from_slice(b"\r\n");
        if canonical.len() > Limits::MAX_HEAD {
            return Err(refuse(StatusCode::RequestHeaderFieldsTooLarge, "request head too long"));
        }
        let keep_alive = !self.close && (!self.http_1_0 || self.keep_alive);
        // With a body it is ignored, which RFC 9110, 7.8 allows: the switch would come in its midst.
        let upgrade = self.upgrade && self.upgrade_option && !self.http_1_0 && framing.is_empty();
        let expects_continue = self.expects_continue && !framing.is_empty();
        Ok(Head {
            len,
            method: self.method,
            http_1_0: self.http_1_0,
            keep_alive,
            framing,
            expects_continue,
            upgrade,
            asterisk: target.asterisk,
            has_host,
            sent: (path != self.target).then(|| self.target.into()),
            path_at,
            canonical,
        })
    }

    /// RFC 9112, 6.3: where two readers could differ about the length, the request is refused.
    fn framing(&self) -> Result<Framing, Refusal> {
        if !self.has_coding {
            return Ok(self.length.map_or(Framing::None, Framing::Length));
        }
        if self.length.is_some() {
            return Err(bad("both Content-Length and Transfer-Encoding"));
        }
        if self.http_1_0 {
            return Err(bad("Transfer-Encoding in HTTP/1.0"));
        }
        match self.codings.split_last() {
            Some((last, [])) if last.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
            Some((last, others)) if last.eq_ignore_ascii_case("chunked") => {
                match others.iter().any(|coding| coding.eq_ignore_ascii_case("chunked")) {
                    true => Err(bad("chunked more than once")),
                    false => Err(refuse(StatusCode::NotImplemented, "unknown transfer coding")),
                }
            }
            _ => Err(bad("the last transfer coding must be chunked")),
        }
    }
}

fn write_line(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Methods are case-sensitive (RFC 9110, 9.1), though http-types would take `get` for `GET`.
fn known_method(method: &str) -> Result<Method, Refusal> {
    match Method::from_str(method) {
        Ok(known) if known.as_ref() == method => Ok(known),
        _ => Err(refuse(StatusCode::NotImplemented, "unknown method")),
    }
}

fn content_length(value: &str) -> Result<u64, Refusal> {
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad("malformed Content-Length"));
    }
    value.parse().map_err(|_| bad("Content-Length too large"))
}
