//! A request head that passed the guard.

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
    /// The head as the engine takes it.
    pub(in crate::http) canonical: Vec<u8>,
}

impl Head {
    /// Method and target, as in `GET /path`.
    pub fn request(&self) -> &str {
        let line = self.canonical.split(|&byte| byte == b'\r').next().unwrap_or_default();
        let line = line.strip_suffix(b" HTTP/1.1").unwrap_or(line);
        std::str::from_utf8(line).unwrap_or_default()
    }
}
