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
    /// From the first byte of a request head to its last. Then 408. Default: 10 s.
    pub head_time: Duration,
    /// Without a byte of a request body that the handler waits for. Then 408. Default: 30 s.
    pub body_time: Duration,
    /// Without the client taking a byte of an answer. Then the connection is cut. Default: 30 s.
    pub answer_time: Duration,
    /// Between requests, and from accept to the first byte. Then the connection is closed. Default: 60 s.
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
