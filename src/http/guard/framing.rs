//! Request bodies: the framing is checked byte by byte before the engine or a handler sees any of it.
//!
//! [`Unframer`] finds the end of a body and takes the framing off.

use http_types::StatusCode;

use super::head::Framing;
use super::refusal::{Refusal, refuse};
use crate::web::is_token;

/// Bytes of chunk extensions and trailers that one body may have. They are checked and dropped.
const MAX_EXTRAS: usize = 4096;

/// Takes a body's framing off, strictly (RFC 9112, 7.1).
#[derive(Debug)]
pub struct Unframer {
    state: Part,
    /// The extension or the trailer section that is being read.
    extra: Vec<u8>,
    /// How much more of such may come.
    extras_left: usize,
    /// How much more content may be announced.
    content_left: u64,
    untouched: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Fixed(u64),
    Size { size: u64, digits: u8 },
    Extension { size: u64 },
    SizeLf { size: u64 },
    Data(u64),
    DataCr,
    DataLf,
    Trailers,
    Done,
}

impl Unframer {
    /// For a body framed like this, with `max` bytes of content at most.
    pub fn new(framing: Framing, max: u64) -> Result<Unframer, Refusal> {
        let state = match framing {
            Framing::Length(len) if len > max => return Err(TOO_LARGE),
            Framing::None | Framing::Length(0) => Part::Done,
            Framing::Length(len) => Part::Fixed(len),
            Framing::Chunked => Part::Size { size: 0, digits: 0 },
        };
        let extra = Vec::new();
        Ok(Unframer { state, extra, extras_left: MAX_EXTRAS, content_left: max, untouched: true })
    }

    /// Whether the whole body has gone through.
    pub fn is_done(&self) -> bool {
        self.state == Part::Done
    }

    /// Whether no byte of the body has been seen yet.
    pub(in crate::http) fn is_untouched(&self) -> bool {
        self.untouched
    }

    /// How many bytes are still to come, at the least.
    pub(in crate::http) fn at_least(&self) -> u64 {
        match self.state {
            Part::Fixed(left) | Part::Data(left) => left,
            _ => 0,
        }
    }

    /// Takes from the front of `input` what belongs to the body, and appends its content to `out`.
    ///
    /// Returns how many bytes it took: all of `input`, unless the body ends within.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Refusal> {
        let mut at = 0;
        self.untouched &= input.is_empty();
        while at < input.len() && self.state != Part::Done {
            at += match self.state {
                Part::Fixed(left) | Part::Data(left) => self.content(left, &input[at..], out)?,
                _ => self.framing_byte(input[at]).map(|()| 1)?,
            };
        }
        Ok(at)
    }

    fn content(&mut self, left: u64, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Refusal> {
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let taken = take as u64;
        out.extend_from_slice(&input[..take]);
        self.state = match (self.state, left - taken) {
            (Part::Fixed(_), 0) => Part::Done,
            (Part::Fixed(_), left) => Part::Fixed(left),
            (_, 0) => Part::DataCr,
            (_, left) => Part::Data(left),
        };
        Ok(take)
    }

    fn framing_byte(&mut self, byte: u8) -> Result<(), Refusal> {
        self.state = match (self.state, byte) {
            (Part::Size { size, digits }, _) if byte.is_ascii_hexdigit() && digits < 16 => {
                let digit = (byte as char).to_digit(16).map_or(0, u64::from);
                Part::Size { size: size << 4 | digit, digits: digits + 1 }
            }
            (Part::Size { size, digits: 1.. }, b'\r') => Part::SizeLf { size },
            (Part::Size { size, digits: 1.. }, b';' | b' ' | b'\t') => {
                self.gather(byte)?;
                Part::Extension { size }
            }
            (Part::Extension { size }, b'\r') if is_extension(&self.extra) => {
                self.extra.clear();
                Part::SizeLf { size }
            }
            (Part::Extension { size }, b'\t' | b' '..=b'~') => {
                self.gather(byte)?;
                Part::Extension { size }
            }
            (Part::SizeLf { size: 0 }, b'\n') => Part::Trailers,
            (Part::SizeLf { size }, b'\n') => {
                self.content_left = self.content_left.checked_sub(size).ok_or(TOO_LARGE)?;
                Part::Data(size)
            }
            (Part::DataCr, b'\r') => Part::DataLf,
            (Part::DataLf, b'\n') => Part::Size { size: 0, digits: 0 },
            (Part::Trailers, byte) => {
                self.gather(byte)?;
                self.trailers_so_far()?
            }
            _ => return Err(malformed("malformed chunk")),
        };
        Ok(())
    }

    fn gather(&mut self, byte: u8) -> Result<(), Refusal> {
        let too_many = malformed("too many chunk extensions or trailers");
        self.extras_left = self.extras_left.checked_sub(1).ok_or(too_many)?;
        self.extra.push(byte);
        Ok(())
    }

    /// Trailers end like a head, in an empty line, and are parsed like one.
    fn trailers_so_far(&self) -> Result<Part, Refusal> {
        let trailers = &self.extra[..];
        if trailers.ends_with(b"\n") && !trailers.ends_with(b"\r\n") {
            return Err(malformed("malformed trailer"));
        }
        if trailers != b"\r\n" && !trailers.ends_with(b"\r\n\r\n") {
            return Ok(Part::Trailers);
        }
        let mut fields = [httparse::EMPTY_HEADER; 16];
        match httparse::parse_headers(trailers, &mut fields) {
            Ok(httparse::Status::Complete((_, fields))) if !fields.iter().any(is_for_heads) => {
                Ok(Part::Done)
            }
            _ => Err(malformed("malformed trailer")),
        }
    }
}

const TOO_LARGE: Refusal = refuse(StatusCode::PayloadTooLarge, "request body too large");

const fn malformed(reason: &'static str) -> Refusal {
    refuse(StatusCode::BadRequest, reason)
}

/// Fields about framing and routing, which come too late behind the body (RFC 9110, 6.5.1).
fn is_for_heads(field: &httparse::Header<'_>) -> bool {
    ["content-length", "transfer-encoding", "host"]
        .iter()
        .any(|name| field.name.eq_ignore_ascii_case(name))
}

/// `*( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )` (RFC 9112, 7.1.1).
fn is_extension(extra: &[u8]) -> bool {
    let mut rest = extra;
    while !rest.is_empty() {
        let Some(name) = skip_space(rest).strip_prefix(b";").map(skip_space).and_then(skip_token)
        else {
            return false;
        };
        rest = name;
        if let Some(value) = skip_space(rest).strip_prefix(b"=").map(skip_space) {
            match skip_token(value).or_else(|| skip_quoted(value)) {
                Some(behind) => rest = behind,
                None => return false,
            }
        }
    }
    true
}

fn skip_space(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|&byte| byte != b' ' && byte != b'\t');
    &bytes[start.unwrap_or(bytes.len())..]
}

fn skip_token(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|&byte| !is_token(byte)).unwrap_or(bytes.len());
    (end > 0).then(|| &bytes[end..])
}

fn skip_quoted(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', behind @ ..] => return Some(behind),
            [b'\\', _, behind @ ..] | [_, behind @ ..] => behind,
            [] => return None,
        };
    }
}
