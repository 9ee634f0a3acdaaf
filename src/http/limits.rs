//! The limits of an HTTP/1.1 server, each with its default.

use std::time::Duration;

/// What a client may ask of the server in time and size. All of them can be set:
///
/// ```
/// use std::time::Duration;
/// use adieu::http::Limits;
///
/// let limits = Limits { idle: Duration::from_secs(5), ..Limits::default() };
/// # let _ = limits;
/// ```
///
/// Times are kept by one sweep for all connections, to within 100 ms.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long a request head may take from its first byte to its last, before the client gets 408.
    /// Default: 10 s.
    pub head_time: Duration,
    /// How long the handler may wait for the next byte of a request body, before the client gets 408.
    /// Default: 30 s.
    pub body_time: Duration,
    /// How long the client may take no byte of an answer, before the connection is cut. Default: 30 s.
    pub answer_time: Duration,
    /// How long a connection may be without a request, from accept or from the last answer on, before it
    /// is closed. Default: 60 s.
    pub idle: Duration,
    /// Bytes of a request head, at most [`Limits::MAX_HEAD`], which is the default. Beyond it 414 or 431.
    pub head_size: usize,
    /// Header lines of a request, at most [`Limits::MAX_HEADERS`], which is the default. Beyond it 431.
    pub headers: usize,
    /// Bytes of a request body. Beyond it 413. Default: 16 MiB.
    pub body_size: u64,
    /// Requests on one connection; the last answer says `Connection: close`. Default: no limit.
    pub requests: u64,
}

impl Limits {
    /// The engine decodes heads of less than 8 KiB.
    pub const MAX_HEAD: usize = 8191;
    /// The engine decodes at most 128 header lines, of which the guard may add one.
    pub const MAX_HEADERS: usize = 127;

    /// The shortest time that any of the limits gives.
    pub(super) fn shortest(&self) -> Duration {
        self.head_time.min(self.body_time).min(self.answer_time).min(self.idle)
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            answer_time: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            head_size: Limits::MAX_HEAD,
            headers: Limits::MAX_HEADERS,
            body_size: 16 << 20,
            requests: u64::MAX,
        }
    }
}
