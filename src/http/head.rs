//! The guard at the door: request heads after RFC 9112 and RFC 9110, strictly.
//!
//! httparse splits the head; this file refuses what RFC 9112 lets a server refuse, decides how the
//! body is framed and whether the connection stays open, and writes the head anew for the engine, in
//! the one form that async-h1 takes: `HTTP/1.1`, origin-form, one Host, no body headers, no Expect.

use std::mem::MaybeUninit;
use std::str::FromStr;

use http_types::{Method, StatusCode};

use super::limits::Limits;
use super::target::Target;

/// A request that is answered by the guard, and why. The connection closes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub(super) status: StatusCode,
    pub(super) reason: &'static str,
}

pub(super) const fn refuse(status: StatusCode, reason: &'static str) -> Refusal {
    Refusal { status, reason }
}

pub(super) const fn bad(reason: &'static str) -> Refusal {
    refuse(StatusCode::BadRequest, reason)
}

/// How the end of a request body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// So many bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

impl Framing {
    fn is_empty(self) -> bool {
        matches!(self, Framing::None | Framing::Length(0))
    }
}

/// A request head that passed.
#[derive(Debug)]
pub struct Head {
    /// Its length on the wire, in bytes.
    pub len: usize,
    /// The method.
    pub method: Method,
    /// Whether the client speaks HTTP/1.0.
    pub http_1_0: bool,
    /// Whether the client would keep the connection.
    pub keep_alive: bool,
    /// How the body is framed.
    pub framing: Framing,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// Whether the client asks to change the protocol.
    pub upgrade: bool,
    /// `OPTIONS *`: about the server, not about a resource.
    pub asterisk: bool,
    /// The head as the engine takes it.
    pub(super) canonical: Vec<u8>,
}

impl Head {
    /// Method and target, as in `GET /path`.
    pub fn request(&self) -> &str {
        let line = self.canonical.split(|&byte| byte == b'\r').next().unwrap_or_default();
        let line = line.strip_suffix(b" HTTP/1.1").unwrap_or(line);
        std::str::from_utf8(line).unwrap_or_default()
    }
}

/// Reads one request head from the front of `bytes`. `None`: it has not all arrived yet.
pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Option<Head>, Refusal> {
    let most = limits.head_size.min(Limits::MAX_HEAD);
    let head = match complete_lines(bytes)? {
        Some(len) if len <= most => &bytes[..len],
        None if bytes.len() <= most => bytes,
        _ => return Err(too_long(&bytes[..most])),
    };
    let mut headers = [const { MaybeUninit::uninit() }; Limits::MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, &mut headers) {
        Ok(httparse::Status::Complete(len)) if request.headers.len() <= limits.headers => {
            Fields::read(&request)?.finish(len).map(Some)
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            Err(refuse(StatusCode::RequestHeaderFieldsTooLarge, "too many header lines"))
        }
        Err(httparse::Error::Version) => Err(wrong_version(head)),
        Err(error) => Err(bad(match error {
            httparse::Error::HeaderName => "malformed header name",
            httparse::Error::HeaderValue => "malformed header value",
            httparse::Error::NewLine => "malformed line ending",
            httparse::Error::Token => "malformed request line",
            _ => "malformed request head",
        })),
    }
}

/// The length of the head if its empty line has arrived. A line feed alone ends no line here
/// (RFC 9112, 2.2 lets a recipient refuse it), or two readers could see two different heads.
fn complete_lines(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    let mut line_start = 0;
    while let Some(at) = bytes[line_start..].iter().position(|&byte| byte == b'\n') {
        let end = line_start + at;
        if at == 0 || bytes[end - 1] != b'\r' {
            return Err(bad("a line must end in CR LF"));
        }
        if at == 1 {
            return Ok(Some(end + 1));
        }
        line_start = end + 1;
    }
    Ok(None)
}

fn too_long(start: &[u8]) -> Refusal {
    let line = start.split(|&byte| byte == b'\r').next().unwrap_or(start);
    if line.len() < start.len() {
        return refuse(StatusCode::RequestHeaderFieldsTooLarge, "request head too long");
    }
    match line.contains(&b' ') {
        true => refuse(StatusCode::UriTooLong, "request target too long"),
        false => bad("malformed request line"),
    }
}

/// 505 is for a version that is one, such as `HTTP/2.0`; the rest is malformed (RFC 9112, 2.3).
fn wrong_version(head: &[u8]) -> Refusal {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or(head);
    let mut words = line.split(|&byte| byte == b' ').skip(2);
    match (words.next(), words.next()) {
        (Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor]), None)
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            refuse(
                StatusCode::HttpVersionNotSupported,
                "only HTTP/1.1 and HTTP/1.0 are spoken here",
            )
        }
        _ => bad("malformed request line"),
    }
}

/// What the header lines say, while they are read.
struct Fields<'a> {
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
    fn read(request: &httparse::Request<'_, 'a>) -> Result<Fields<'a>, Refusal> {
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

    fn finish(self, len: usize) -> Result<Head, Refusal> {
        let framing = self.framing()?;
        if matches!(self.method, Method::Connect | Method::Trace) {
            return Err(refuse(
                StatusCode::MethodNotAllowed,
                "CONNECT and TRACE are not allowed here",
            ));
        }
        let Target { host, path, asterisk } =
            Target::of(&self.method, self.target, self.host, self.http_1_0)?;
        let mut canonical = Vec::with_capacity(self.others.len() + path.len() + host.len() + 48);
        write_line(&mut canonical, &[self.method.as_ref(), " ", &path, " HTTP/1.1"]);
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
        let (method, http_1_0) = (self.method, self.http_1_0);
        Ok(Head {
            len,
            method,
            http_1_0,
            keep_alive,
            framing,
            expects_continue,
            upgrade,
            asterisk,
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

/// The elements of a comma-separated list (RFC 9110, 5.6.1), without the empty ones.
pub(super) fn tokens(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(|token| token.trim_matches([' ', '\t'])).filter(|token| !token.is_empty())
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

/// A byte of a token (RFC 9110, 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
