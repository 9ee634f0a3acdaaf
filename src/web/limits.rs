//! The limits of an HTTP server, each with its default: the same for every engine.

use std::time::Duration;

use super::pace::ALLOWANCE;

/// What a client may ask of the server in time and size. All of them can be set:
///
/// ```
/// use std::time::Duration;
#[cfg_attr(feature = "http", doc = "use adieu::http::Limits;")]
#[cfg_attr(not(feature = "http"), doc = "use adieu::hyper::Limits;")]
///
/// let limits = Limits { idle: Duration::from_secs(5), ..Limits::default() };
/// # let _ = limits;
/// ```
///
/// Times are kept by one sweep for all connections, to within 100 ms.
///
/// A client that moves a byte now and then keeps within each time, so there are rates too. Of each request body
/// and of each answer the time is counted in which the server waits for the client. A body may take five seconds
/// of that, and one second more for as many bytes as the rate says. Time in which the handler is busy does not
/// count.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long a request head may take from its first byte to its last, or an HTTP/2 preface, before the
    /// client gets 408. Default: 10 s.
    pub head_time: Duration,
    /// How long the handler may wait for the next byte of a request body, before the client gets 408; or the
    /// body's reader an error, if the answer has begun. Default: 30 s.
    pub body_time: Duration,
    /// How fast a request body must come, in bytes per second, after the first five seconds. Slower ones end as
    /// those do that take too long. 0 turns it off. Default: 240.
    pub body_rate: u32,
    /// How long the client may take no byte of an answer, before the connection is cut; over HTTP/2 the stream
    /// with the error CANCEL, if its window is what stays shut. Default: 30 s.
    pub answer_time: Duration,
    /// How fast the client must take an answer, in bytes per second, after the first five seconds. Slower
    /// ones are cut. 0 turns it off. Default: 240.
    pub answer_rate: u32,
    /// How long a connection may be without a request, from accept or from the last answer on, before it
    /// is closed; over HTTP/2 with GOAWAY. Default: 75 s: load balancers, and nginx among them, reuse a
    /// connection that has been idle for up to 60 s. If the server closed it at the same time, a
    /// request on its way would be lost.
    pub idle: Duration,
    /// Bytes of a request head, at most [`Limits::MAX_HEAD`], which is the default. Beyond it 414 or 431.
    pub head_size: usize,
    /// Header lines of a request, at most [`Limits::MAX_HEADERS`], which is the default. Beyond it 431.
    pub headers: usize,
    /// Bytes of a request body. Beyond it 413; or an error for its reader, if the answer has begun.
    /// Default: 16 MiB.
    pub body_size: u64,
    /// Requests on one connection; the last answer says `Connection: close`, or GOAWAY is sent.
    /// Default: no limit.
    pub requests: u64,
}

impl Limits {
    /// async-h1 decodes heads of less than 8 KiB.
    pub const MAX_HEAD: usize = 8191;
    /// async-h1 decodes at most 128 header lines, of which the guard may add one.
    pub const MAX_HEADERS: usize = 127;

    /// The shortest time that any of the limits gives; a rate, at first.
    pub(crate) fn shortest(&self) -> Duration {
        let time = self.head_time.min(self.body_time).min(self.answer_time).min(self.idle);
        match self.body_rate.max(self.answer_rate) {
            0 => time,
            _ => time.min(ALLOWANCE),
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            body_rate: 240,
            answer_time: Duration::from_secs(30),
            answer_rate: 240,
            idle: Duration::from_secs(75),
            head_size: Limits::MAX_HEAD,
            headers: Limits::MAX_HEADERS,
            body_size: 16 << 20,
            requests: u64::MAX,
        }
    }
}
