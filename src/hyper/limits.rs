//! The limits of a hyper server, each with its default.

use std::time::Duration;

/// What a client may ask of the server in time and size. All of them can be set:
///
/// ```
/// use std::time::Duration;
/// use adieu::hyper::Limits;
///
/// let limits = Limits { idle: Duration::from_secs(5), ..Limits::default() };
/// # let _ = limits;
/// ```
///
/// Times are kept by one sweep for all connections, to within 100 ms. Names and defaults are those of
/// `http::Limits`; the size of a request head is limited by the engines' own settings.
#[derive(Clone, Debug)]
pub struct Limits {
    /// From the first byte of an HTTP/1.1 request head, or of an HTTP/2 preface, to its last. Then 408.
    /// Default: 10 s.
    pub head_time: Duration,
    /// Without a byte of a request body that the handler waits for. Then 408, or an error for the reader
    /// of the body if the answer has begun. Default: 30 s.
    pub body_time: Duration,
    /// Without the client taking a byte of an answer. Then the connection is cut; an HTTP/2 client that
    /// keeps a stream's window shut loses that stream, with the error CANCEL. Default: 30 s.
    pub answer_time: Duration,
    /// Between requests, and from accept to the first byte. Then the connection is closed, over HTTP/2
    /// with GOAWAY. Default: 60 s.
    pub idle: Duration,
    /// Bytes of a request body. Beyond it 413, or an error for the reader of the body if the answer has
    /// begun. Default: 16 MiB.
    pub body_size: u64,
    /// Requests on one connection; the last answer says `Connection: close`, or GOAWAY is sent.
    /// Default: no limit.
    pub requests: u64,
}

impl Limits {
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
            body_size: 16 << 20,
            requests: u64::MAX,
        }
    }
}
