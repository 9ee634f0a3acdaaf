//! Answers as a client that trusts nothing reads them, and what each should have been.

/// One whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub close: bool,
    /// Which request the handler was answering.
    pub id: Option<String>,
    pub body: Vec<u8>,
}

/// The bytes of a body: no two bodies of a run have the same.
pub fn content(id: &str, len: usize) -> Vec<u8> {
    let unit = format!("{id} ");
    let mut bytes = unit.repeat(len / unit.len() + 1).into_bytes();
    bytes.truncate(len);
    bytes
}

/// Takes one whole answer from the front of `bytes`; `None` if it has not all arrived yet. `ended`: nothing
/// comes behind them, and the connection was not reset.
pub fn take(bytes: &mut Vec<u8>, ended: bool) -> Result<Option<Answer>, String> {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|error| error.to_string())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
    let status = status.and_then(|line| line.get(..3)?.parse().ok());
    let status: u16 = status.ok_or_else(|| format!("not a status line: {head}"))?;
    let mut answer = Answer { status, close: false, id: None, body: Vec::new() };
    let (mut length, mut chunked) = (None, false);
    for line in lines {
        match line.split_once(": ").ok_or_else(|| format!("not a header: {line}"))? {
            ("connection", value) => answer.close = value == "close",
            ("content-length", value) => length = value.parse().ok(),
            ("transfer-encoding", "chunked") => chunked = true,
            ("x-id", id) => answer.id = Some(id.to_owned()),
            _ => {}
        }
    }
    let rest = &bytes[end + 4..];
    let len = match (length, chunked) {
        _ if status < 200 => Some(0),
        (Some(length), false) if length <= rest.len() => {
            answer.body = rest[..length].to_vec();
            Some(length)
        }
        (Some(_), false) => None,
        (None, true) => take_chunks(rest, &mut answer.body)?,
        // To HTTP/1.0: the end of the connection is the end of the answer.
        (None, false) if answer.close => ended.then(|| {
            answer.body = rest.to_vec();
            rest.len()
        }),
        _ => return Err(format!("framed twice or not at all: {head}")),
    };
    Ok(len.map(|len| {
        bytes.drain(..end + 4 + len);
        answer
    }))
}

/// Takes chunks off; tells how long they were, with the last one, once it is there.
fn take_chunks(mut rest: &[u8], body: &mut Vec<u8>) -> Result<Option<usize>, String> {
    let whole = rest.len();
    loop {
        let Some(line) = find(rest, b"\r\n") else {
            return Ok(None);
        };
        let size = std::str::from_utf8(&rest[..line]).ok();
        let size = size.and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.ok_or_else(|| format!("not a chunk size: {:?}", &rest[..line]))?;
        rest = &rest[line + 2..];
        if rest.len() < size + 2 {
            return Ok(None);
        }
        body.extend(&rest[..size]);
        if !rest[size..].starts_with(b"\r\n") {
            return Err("a chunk does not end where it says".to_owned());
        }
        rest = &rest[size + 2..];
        if size == 0 {
            return Ok(Some(whole - rest.len()));
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
