//! What an engine is given at once of what has arrived: no more than one request of HTTP/1.1.
//!
//! hyper does not tell whether it holds more than the request that it works on. So what comes behind that request is
//! kept from it until it asks for the next one. A portion that ends too early does no harm: the engine asks for more.

/// What comes next of a connection's bytes.
#[derive(Clone, Copy)]
pub(super) enum Next {
    /// Nobody knows, or cares.
    Any,
    /// A request head, up to its empty line.
    Head,
    /// So many bytes of a body, and then a head.
    Body(u64),
}

impl Next {
    /// What comes behind a head that announces a body of this length; `None` is chunks.
    pub(super) fn behind_head(length: Option<u64>) -> Next {
        match length {
            None => Next::Any,
            Some(0) => Next::Head,
            Some(length) => Next::Body(length),
        }
    }

    /// How many of these bytes the engine is given.
    pub(super) fn portion(&self, bytes: &[u8]) -> usize {
        match self {
            Next::Any => bytes.len(),
            Next::Head => head_end(bytes).unwrap_or(bytes.len()),
            Next::Body(left) => usize::try_from(*left).map_or(bytes.len(), |n| n.min(bytes.len())),
        }
    }

    /// The engine was given so many.
    pub(super) fn give(&mut self, amount: usize) {
        if let Next::Body(left) = self {
            *self = Next::behind_head(Some(left.saturating_sub(amount as u64)));
        }
    }
}

/// Where the first empty line ends.
fn head_end(bytes: &[u8]) -> Option<usize> {
    // The empty line is four bytes long, so it is enough to look at each fourth for a part of it.
    let mut at = 3;
    while let Some(byte) = bytes.get(at) {
        at += match byte {
            b'\n' if bytes[..=at].ends_with(b"\r\n\r\n") => return Some(at + 1),
            b'\r' | b'\n' => 1,
            _ => 4,
        };
    }
    None
}

/// Whether a whole request stands at the front of these bytes, with its body. It is asked before an answer says that
/// it is the last; the engine judges the request itself.
pub(super) fn begins_with_request(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii_start();
    let Some(end) = head_end(bytes) else { return false };
    let (head, body) = bytes.split_at(end);
    let field = |name: &str| {
        head.split(|&byte| byte == b'\n').find_map(|line| {
            let (said, value) = line.split_at_checked(name.len())?;
            let value =
                value.strip_prefix(b":").filter(|_| said.eq_ignore_ascii_case(name.as_bytes()));
            std::str::from_utf8(value?).ok().map(str::trim)
        })
    };
    match (field("transfer-encoding"), field("content-length")) {
        (Some(_), _) => body.starts_with(b"0\r\n\r\n") || contains(body, b"\r\n0\r\n\r\n"),
        (None, Some(length)) => length.parse().is_ok_and(|length: usize| body.len() >= length),
        (None, None) => true,
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_its_first_empty_line_wherever_that_is() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for padding in 0..9 {
            let head = [&b"x".repeat(padding)[..], head].concat();
            let twice = [&head[..], b"\r\n\r\nGET"].concat();
            assert_eq!(head_end(&twice), Some(head.len()));
            for length in 0..head.len() {
                assert_eq!(head_end(&head[..length]), None);
            }
        }
    }

    #[test]
    fn a_request_has_arrived_when_its_body_has() {
        let table: [(&str, bool); 12] = [
            ("", false),
            ("GET / HTTP/1.1\r\n", false),
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("\r\nGET / HTTP/1.1\r\n\r\nGET", true),
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab", false),
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", true),
            ("POST / HTTP/1.1\r\ncontent-length:0\r\n\r\n", true),
            ("POST / HTTP/1.1\r\nContent-Length: x\r\n\r\nabc", false),
            ("POST / HTTP/1.1\r\nX-Content-Length: 9\r\n\r\n", true),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", false),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", true),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true),
        ];
        for (bytes, is_whole) in table {
            assert_eq!(begins_with_request(bytes.as_bytes()), is_whole, "{bytes}");
        }
    }

    #[test]
    fn behind_a_body_comes_a_head() {
        let mut next = Next::behind_head(Some(5));
        assert_eq!(next.portion(b"abc"), 3);
        next.give(3);
        assert_eq!(next.portion(b"deGET"), 2);
        next.give(2);
        assert_eq!(next.portion(b"GET / HTTP/1.1\r\n\r\nGET"), 18);
    }
}
