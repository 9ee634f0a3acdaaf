//! Framing belongs to the server: what becomes of the fields about it that a handler sets on its answer.
//!
//! | field | what a handler may say |
//! |---|---|
//! | `content-length` | the length of the body, which is then used. Of a HEAD or a 304, the length that a GET would bring. Of a body whose length the server does not know it is dropped; any other is refused |
//! | `transfer-encoding` | `chunked`, which the server decides and so drops; another coding is refused, since the server applies none |
//! | `connection` | `close`, which is honoured. `upgrade` in a 101 or 426. The names of other fields: these are dropped, as they belong to another connection |
//! | `upgrade` | the protocols of a 101 or 426 (RFC 9110, 7.8); else it is dropped |
//! | `trailer` | sent where the engine can send trailers, else dropped |
//! | `keep-alive`, `proxy-connection`, `te` | nothing: dropped |
//!
//! Refused means that the client gets a 500 instead of the answer, and the log names the field. HTTP/2 has
//! none of these but `content-length` and `trailer` (RFC 9113, 8.2.2).

use super::tokens::{is_token, tokens};

/// What an answer is like, as far as its fields depend on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerFields {
    status: u16,
    to_head: bool,
    is_http2: bool,
    /// The length of the body, where it is known.
    length: Option<u64>,
    /// Whether the engine can send trailers.
    trailers: bool,
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Send,
    /// The server says it itself, or nobody should.
    Drop,
    /// Dropped, and the connection closes after the answer.
    Close,
}

impl AnswerFields {
    /// Of an HTTP/1 answer of this status, to a HEAD or not, with a body of this length if it is known.
    pub(crate) fn http1(status: u16, to_head: bool, length: Option<u64>) -> AnswerFields {
        AnswerFields { status, to_head, is_http2: false, length, trailers: false }
    }

    /// Decides about one field, `name` in lower case, all of whose lines are `values`. An error tells why
    /// the answer cannot be sent.
    pub(crate) fn judge<'a>(
        &self,
        name: &str,
        mut values: impl Iterator<Item = &'a str>,
    ) -> Result<Fate, &'static str> {
        match name {
            "content-length" => self.content_length(values),
            "transfer-encoding" => match values.flat_map(tokens).all(is_chunked) {
                true => Ok(Fate::Drop),
                false => Err("a transfer coding that the server does not apply"),
            },
            "connection" => self.connection(values.flat_map(tokens)),
            "upgrade" => Ok(self.if_upgrading()),
            "trailer" if self.trailers => Ok(Fate::Send),
            "trailer" | "keep-alive" | "proxy-connection" | "te" => Ok(Fate::Drop),
            _ => {
                debug_assert!(values.next().is_some(), "a field has a value");
                Ok(Fate::Send)
            }
        }
    }

    /// Whether a field of this name has to be judged; most have not.
    pub(crate) fn concerns(name: &str) -> bool {
        matches!(
            name,
            "content-length"
                | "transfer-encoding"
                | "connection"
                | "upgrade"
                | "trailer"
                | "keep-alive"
                | "proxy-connection"
                | "te"
        )
    }

    fn content_length<'a>(
        &self,
        mut values: impl Iterator<Item = &'a str>,
    ) -> Result<Fate, &'static str> {
        let value = values.next().unwrap_or_default();
        let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let length: u64 = match value.parse() {
            Ok(length) if is_number => length,
            _ => return Err("a malformed content-length"),
        };
        if values.any(|other| other != value) {
            return Err("two different content-lengths");
        }
        match self.length {
            // The length of what is not sent. A body that is there all the same tells better.
            None | Some(0) if self.to_head || self.status == 304 => Ok(Fate::Send),
            Some(known) if known != length && !self.has_no_content() => {
                Err("a content-length that is not the body's")
            }
            _ => Ok(Fate::Drop),
        }
    }

    fn connection<'a>(&self, options: impl Iterator<Item = &'a str>) -> Result<Fate, &'static str> {
        let mut fate = self.if_upgrading();
        for option in options {
            if !option.bytes().all(is_token) {
                return Err("a malformed connection option");
            }
            if option.eq_ignore_ascii_case("close") {
                fate = Fate::Close;
            }
        }
        Ok(fate)
    }

    fn if_upgrading(&self) -> Fate {
        match !self.is_http2 && matches!(self.status, 101 | 426) {
            true => Fate::Send,
            false => Fate::Drop,
        }
    }

    fn has_no_content(&self) -> bool {
        matches!(self.status, 100..=199 | 204 | 205 | 304)
    }
}

fn is_chunked(coding: &str) -> bool {
    coding.eq_ignore_ascii_case("chunked")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fate(
        status: u16,
        length: Option<u64>,
        name: &str,
        value: &str,
    ) -> Result<Fate, &'static str> {
        let fields =
            AnswerFields { status, to_head: false, is_http2: false, length, trailers: false };
        fields.judge(name, [value].into_iter())
    }

    #[test]
    fn a_length_is_used_where_it_is_true_and_refused_where_it_is_not() {
        assert_eq!(fate(200, Some(5), "content-length", "5"), Ok(Fate::Drop));
        assert_eq!(fate(200, None, "content-length", "5"), Ok(Fate::Drop));
        assert_eq!(fate(304, Some(0), "content-length", "5"), Ok(Fate::Send));
        assert_eq!(fate(204, Some(0), "content-length", "5"), Ok(Fate::Drop));
        for value in ["6", "", "+5", "5, 5", "-1", "5.0", "99999999999999999999"] {
            assert!(fate(200, Some(5), "content-length", value).is_err(), "{value}");
        }
        let to_head = AnswerFields {
            status: 200,
            to_head: true,
            is_http2: true,
            length: Some(0),
            trailers: true,
        };
        assert_eq!(to_head.judge("content-length", ["7"].into_iter()), Ok(Fate::Send));
        assert!(to_head.judge("content-length", ["7", "8"].into_iter()).is_err());
        assert_eq!(to_head.judge("content-length", ["7", "7"].into_iter()), Ok(Fate::Send));
    }

    #[test]
    fn fields_of_one_connection_are_the_servers() {
        for (name, value, becomes) in [
            ("transfer-encoding", "Chunked", Fate::Drop),
            ("connection", "keep-alive, x-foo", Fate::Drop),
            ("connection", "keep-alive, CLOSE", Fate::Close),
            ("upgrade", "h2c", Fate::Drop),
            ("trailer", "x", Fate::Drop),
            ("te", "trailers", Fate::Drop),
            ("keep-alive", "timeout=5", Fate::Drop),
            ("proxy-connection", "close", Fate::Drop),
        ] {
            assert!(AnswerFields::concerns(name));
            assert_eq!(fate(200, Some(5), name, value), Ok(becomes), "{name}: {value}");
        }
        assert_eq!(fate(426, Some(5), "upgrade", "h2c"), Ok(Fate::Send));
        assert_eq!(fate(101, Some(0), "connection", "upgrade"), Ok(Fate::Send));
        assert!(fate(200, Some(5), "transfer-encoding", "gzip, chunked").is_err());
        assert!(fate(200, Some(5), "connection", "a b").is_err());
    }
}
