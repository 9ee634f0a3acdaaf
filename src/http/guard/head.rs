//! A request head that passed the guard.

use std::fmt;
use std::ops::Range;

use http_types::Method;

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
    pub(super) fn is_empty(self) -> bool {
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
    /// Whether the client names a host. Otherwise the one in the canonical head is made up.
    pub(in crate::http) has_host: bool,
    /// The target as it was sent, if it was not just the path.
    pub(super) sent: Option<Box<str>>,
    /// Where the path is in the canonical head, query included; the method stands before it.
    pub(super) path_at: Range<usize>,
    /// The head as the engine takes it.
    pub(in crate::http) canonical: Vec<u8>,
}

impl Head {
    /// Method and path, as in `GET /path`.
    pub fn request(&self) -> &str {
        self.text(0..self.path_at.end)
    }

    /// The target as the client sent it.
    pub fn target(&self) -> &str {
        self.sent.as_deref().unwrap_or_else(|| self.text(self.path_at.clone()))
    }

    fn text(&self, range: Range<usize>) -> &str {
        // Heads are ASCII.
        std::str::from_utf8(&self.canonical[range]).unwrap_or_default()
    }
}

/// The target as the client sent it.
impl AsRef<str> for Head {
    fn as_ref(&self) -> &str {
        self.target()
    }
}

/// As the report names the request.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.request())
    }
}
