//! The fields of an answer that frame it or are about the connection.
//!
//! Both are the server's to decide. If a handler could decide them as well, two readers could differ about
//! where the answer ends, and take the rest for another answer. So what a handler says of them is checked:
//! what is true is used, what is harmless is dropped, and what is false is refused (the client gets a 500
//! and the log the reason).
//!
//! | field | used | dropped | refused |
//! |---|---|---|---|
//! | `content-length` | the length of the body; on a body of unknown length, which is held to it; without a body to HEAD and in 304, as what a GET would bring (RFC 9110, 8.6) | in 1xx, 204 and 205, which have no content | malformed; two that differ; another length than the body's |
//! | `transfer-encoding` | | `chunked`, which the server decides | any other coding: the body is sent without it (RFC 9112, 6.1) |
//! | `connection` | `close` | every other option, and the fields that it names (RFC 9110, 7.6.1) | malformed |
//! | `upgrade` | in 101 and 426 (RFC 9110, 7.8); the server adds the option to `connection` | in other answers | 101 without it |
//! | `trailer` | if the engine sends trailers and the framing has room for them | otherwise | |
//! | `keep-alive`, `proxy-connection`, `te` | | always | |
//!
//! HTTP/2 has none of these but `content-length` and `trailer` (RFC 9113, 8.2.2): `transfer-encoding` is
//! judged as above, the others are dropped, and a 101 is refused (RFC 9113, 8.6).

use std::borrow::Cow;
use std::fmt;

use super::token::{is_token, tokens};

/// The version that an answer is sent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http10,
    Http11,
    Http2,
}

/// An answer, as far as these fields depend on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    version: Version,
    /// Whether it answers a HEAD.
    to_head: bool,
    status: u16,
    /// The length of the body that the handler has given, in bytes, where it is known.
    body: Option<u64>,
    /// Whether the engine can send trailers.
    trailers: bool,
}

/// What tells the client where an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It ends with its head.
    Head,
    /// After so many bytes of body.
    Length(u64),
    /// With the last chunk.
    Chunks,
    /// With the end of the stream (HTTP/2).
    Stream,
    /// With the connection (HTTP/1.0).
    Close,
}

/// What is sent in place of what the handler has said.
#[derive(Debug)]
pub(crate) struct AnswerFields {
    end: End,
    content_length: Option<u64>,
    closes: bool,
    dropped: Vec<Cow<'static, str>>,
    form: Form,
    /// Whether `upgrade` is among the handler's fields, and sent.
    upgrade: bool,
}

/// What a handler says falsely: the field, and the reason.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FalseField(&'static str, &'static str);

impl fmt::Display for FalseField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0, self.1)
    }
}

impl Form {
    /// `body`: the length in bytes, where it is known. `trailers`: the engine can send some.
    pub(crate) fn new(
        version: Version,
        status: u16,
        to_head: bool,
        body: Option<u64>,
        trailers: bool,
    ) -> Form {
        Form { version, to_head, status, body, trailers }
    }

    /// The fields of an answer of which nobody has said anything.
    pub(crate) fn plain(self) -> AnswerFields {
        self.fields(None)
    }

    /// The fields of an answer whose handler says these, by their names in lower case.
    pub(crate) fn judge<'a>(
        self,
        said: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<AnswerFields, FalseField> {
        let (mut length, mut dropped) = (None, Vec::new());
        let (mut closes, mut upgrade, mut trailer) = (false, false, false);
        for (name, value) in said {
            let name = match name {
                "content-length" => {
                    one_length(&mut length, value)?;
                    "content-length"
                }
                "transfer-encoding" if value.eq_ignore_ascii_case(b"chunked") => {
                    "transfer-encoding"
                }
                "transfer-encoding" => {
                    return Err(FalseField(
                        "transfer-encoding",
                        "the body is not sent in this coding",
                    ));
                }
                "connection" => {
                    closes |= connection_options(value, &mut dropped)?;
                    "connection"
                }
                "upgrade" if self.may_upgrade() => {
                    upgrade = true;
                    continue;
                }
                "trailer" => {
                    trailer = true;
                    continue;
                }
                "upgrade" => "upgrade",
                "keep-alive" => "keep-alive",
                "proxy-connection" => "proxy-connection",
                "te" => "te",
                _ => continue,
            };
            dropped.push(name.into());
        }
        match self.status {
            101 if self.version == Version::Http2 => {
                return Err(FalseField("upgrade", "there is none in HTTP/2"));
            }
            101 if !upgrade => return Err(FalseField("upgrade", "a 101 must have it")),
            _ => {}
        }
        if length.is_some_and(|length| self.contradicts(length)) {
            return Err(FalseField("content-length", "not the length of the body"));
        }
        let fields = self.fields(length);
        if trailer && !(self.trailers && matches!(fields.end, End::Chunks | End::Stream)) {
            dropped.push("trailer".into());
        }
        Ok(AnswerFields { closes, dropped, upgrade, ..fields })
    }

    fn may_upgrade(self) -> bool {
        matches!(self.status, 101 | 426) && self.version != Version::Http2
    }

    fn has_no_content(self) -> bool {
        matches!(self.status, 100..200 | 204 | 205)
    }

    /// Whether the body is of another length. One that is not sent need not be there at all.
    fn contradicts(self, length: u64) -> bool {
        let is_sent = !self.to_head && self.status != 304;
        let differs = self.body.is_some_and(|body| body != length && (is_sent || body > 0));
        differs && !self.has_no_content()
    }

    /// With a length that the handler has said, and that is true of the body if there is one.
    fn fields(self, said: Option<u64>) -> AnswerFields {
        let (end, content_length) = match said.or(self.body) {
            // RFC 9110, 15.3.6: a 205 tells that it is empty.
            _ if self.status == 205 => (End::Head, Some(0)),
            _ if self.has_no_content() => (End::Head, None),
            _ if self.status == 304 => (End::Head, said),
            // An empty body may be one that the handler has not made for a HEAD.
            length if self.to_head => (End::Head, said.or(length.filter(|length| *length > 0))),
            Some(length) => (End::Length(length), Some(length)),
            None => match self.version {
                Version::Http10 => (End::Close, None),
                Version::Http11 => (End::Chunks, None),
                Version::Http2 => (End::Stream, None),
            },
        };
        let (closes, dropped, upgrade) = (false, Vec::new(), false);
        AnswerFields { end, content_length, closes, dropped, form: self, upgrade }
    }
}

impl AnswerFields {
    pub(crate) fn end(&self) -> End {
        self.end
    }

    /// What `content-length` says, if it is sent.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// Whether the handler wants the connection to be closed after this answer. In HTTP/2 an answer has no
    /// say in that.
    pub(crate) fn closes(&self) -> bool {
        self.closes
    }

    /// The fields that are taken out of the handler's. A `content-length` is always among them, and put back
    /// as [`content_length`](AnswerFields::content_length) has it.
    pub(crate) fn dropped(&self) -> impl Iterator<Item = &str> {
        self.dropped.iter().map(|name| &**name)
    }

    /// The value of the `connection` field, if one is sent. `keeps`: the connection stays open.
    pub(crate) fn connection(&self, keeps: bool) -> Option<&'static str> {
        match (self.form.version, keeps) {
            (Version::Http2, _) => None,
            _ if self.form.status == 101 => Some("upgrade"),
            (_, false) if self.upgrade => Some("close, upgrade"),
            (_, false) => Some("close"),
            (Version::Http10, true) if self.upgrade => Some("keep-alive, upgrade"),
            (Version::Http10, true) => Some("keep-alive"),
            (_, true) => self.upgrade.then_some("upgrade"),
        }
    }
}

/// Notes the length that a field says, which must be the same in each.
fn one_length(known: &mut Option<u64>, value: &[u8]) -> Result<(), FalseField> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(value).ok().filter(|_| is_number);
    let length = number.and_then(|number| number.parse().ok());
    let length = length.ok_or(FalseField("content-length", "malformed"))?;
    match known.replace(length) {
        Some(other) if other != length => Err(FalseField("content-length", "two that differ")),
        _ => Ok(()),
    }
}

/// Whether `close` is among the options. Those that are not the server's own name fields to be dropped.
fn connection_options(
    value: &[u8],
    dropped: &mut Vec<Cow<'static, str>>,
) -> Result<bool, FalseField> {
    let malformed = FalseField("connection", "malformed");
    let Ok(value) = std::str::from_utf8(value) else {
        return Err(malformed);
    };
    let mut closes = false;
    for option in tokens(value) {
        if !option.bytes().all(is_token) {
            return Err(malformed);
        }
        match option.to_ascii_lowercase() {
            option if option == "close" => closes = true,
            option if option == "keep-alive" || option == "upgrade" => {}
            field => dropped.push(field.into()),
        }
    }
    Ok(closes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of these fields in an answer of unknown length to a GET.
    fn judge(version: Version, status: u16, said: &[(&str, &str)]) -> Result<AnswerFields, String> {
        let form = Form::new(version, status, false, None, true);
        let said = said.iter().map(|(name, value)| (*name, value.as_bytes()));
        form.judge(said).map_err(|field| field.to_string())
    }

    #[test]
    fn http_2_drops_what_is_about_the_connection_and_needs_no_framing() {
        let said = [
            ("connection", "close, x-hop"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("upgrade", "h2c"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("trailer", "x-sum"),
        ];
        let fields = judge(Version::Http2, 426, &said).expect("nothing of it is false");
        assert_eq!((fields.end, fields.content_length), (End::Stream, None));
        assert_eq!((fields.connection(true), fields.connection(false)), (None, None));
        let mut dropped = fields.dropped;
        dropped.sort();
        let all_but_trailer = [
            "connection",
            "keep-alive",
            "proxy-connection",
            "te",
            "transfer-encoding",
            "upgrade",
            "x-hop",
        ];
        assert_eq!(dropped, all_but_trailer);
        let upgrade = judge(Version::Http2, 101, &[("upgrade", "websocket")]);
        assert_eq!(upgrade.expect_err("it is false"), "upgrade: there is none in HTTP/2");
        assert!(judge(Version::Http2, 200, &[("transfer-encoding", "gzip")]).is_err());
        let length = judge(Version::Http2, 200, &[("content-length", "5")]).expect("it is true");
        assert_eq!((length.end, length.content_length), (End::Length(5), Some(5)));
    }

    #[test]
    fn trailers_are_told_of_where_there_is_room_for_them() {
        let trailer = ("trailer", "x-sum");
        let length = ("content-length", "5");
        for (version, said, kept) in [
            (Version::Http11, &[trailer][..], true),
            (Version::Http11, &[length, trailer], false),
            (Version::Http10, &[trailer], false),
            (Version::Http2, &[trailer], true),
        ] {
            let fields = judge(version, 200, said).expect("nothing of it is false");
            assert_eq!(!fields.dropped.contains(&"trailer".into()), kept, "{version:?} {said:?}");
        }
    }
}
