//! A strict reader of answers: what a client would make of the server's bytes, or why it could not. The
//! integration tests, the simulation and the fuzzers read with it.

/// One answer as it came.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Whether it is of HTTP/1.0, which closes the connection unless it says otherwise.
    pub is_old: bool,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether its end has come; where nothing else tells, the close does.
    pub complete: bool,
}

impl Answer {
    /// The value of a header that occurs once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} more than once: {self:?}");
        value
    }

    pub fn says_close(&self) -> bool {
        match self.header("connection") {
            Some(option) => option == "close",
            None => self.is_old,
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn is_final(&self) -> bool {
        self.status >= 200 || self.status == 101
    }
}

/// Reads all answers in `bytes`, of which the n-th answers a HEAD if `head(n)`. An answer is a final
/// one with the interim ones (100) before it; only the last may be incomplete.
pub fn answers(mut bytes: &[u8], head: impl Fn(usize) -> bool) -> Result<Vec<Answer>, String> {
    let mut answers: Vec<Answer> = Vec::new();
    while !bytes.is_empty() {
        let number = answers.iter().filter(|answer| answer.is_final()).count();
        let (answer, taken) = one(bytes, head(number), false)?;
        let last = !answer.complete || answer.status == 101;
        answers.push(answer);
        if last {
            break;
        }
        bytes = &bytes[taken..];
    }
    Ok(answers)
}

/// Reads the first answer in `bytes`, and tells how many of them it has taken. `ended`: nothing comes after
/// them, and the connection was not reset.
pub fn one(bytes: &[u8], to_head: bool, ended: bool) -> Result<(Answer, usize), String> {
    let mut answer = Answer::default();
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok((answer, bytes.len()));
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|error| error.to_string())?;
    let mut rest = &bytes[end + 4..];
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let old = status.strip_prefix("HTTP/1.0 ");
    answer.is_old = old.is_some();
    let code = old.or(status.strip_prefix("HTTP/1.1 ")).and_then(|status| status.get(..4));
    let code = code.and_then(|code| code.strip_suffix(' '));
    let malformed = || format!("malformed status line {status:?}");
    answer.status = code.and_then(|code| number(code, 10)).ok_or_else(malformed)? as u16;
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or(format!("malformed line {line:?}"))?;
        let token = name.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase());
        if !token || name.is_empty() || value.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(format!("malformed header {line:?}"));
        }
        answer.headers.push((name.to_owned(), value.to_owned()));
    }
    let length = answer.header("content-length").map(|length| number(length, 10));
    let chunked = answer.header("transfer-encoding").map(|coding| coding == "chunked");
    let no_content = answer.status < 200 || answer.status == 204 || answer.status == 304;
    match (length, chunked) {
        (None, None) if to_head || no_content => answer.complete = true,
        // RFC 9110, 8.6: the length of what a GET would bring.
        (Some(_), None) if answer.status == 304 => answer.complete = true,
        (Some(_), _) | (_, Some(_)) if no_content => return Err("a length of no body".to_owned()),
        _ if to_head => answer.complete = true,
        (Some(Some(length)), None) => {
            let here = length.min(rest.len());
            answer.body = rest[..here].to_vec();
            answer.complete = here == length;
            rest = &rest[here..];
        }
        (None, Some(true)) => rest = chunks(rest, &mut answer)?,
        (None, None) if answer.says_close() => {
            answer.body = rest.to_vec();
            answer.complete = ended;
            rest = b"";
        }
        _ => return Err(format!("framed twice or not at all: {head}")),
    }
    Ok((answer, bytes.len() - rest.len()))
}

/// Digits and nothing else: `+5` is no length.
fn number(digits: &str, radix: u32) -> Option<usize> {
    let is_plain = digits.chars().all(|digit| digit.is_digit(radix));
    usize::from_str_radix(digits, radix).ok().filter(|_| is_plain)
}

fn chunks<'a>(mut rest: &'a [u8], answer: &mut Answer) -> Result<&'a [u8], String> {
    loop {
        let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else {
            return Ok(b"");
        };
        let size = std::str::from_utf8(&rest[..end]).map_err(|error| error.to_string())?;
        let size = number(size, 16).ok_or_else(|| format!("chunk size {size:?}"))?;
        rest = &rest[end + 2..];
        let here = size.min(rest.len());
        answer.body.extend_from_slice(&rest[..here]);
        rest = &rest[here..];
        match rest {
            [b'\r', b'\n', behind @ ..] => rest = behind,
            [] | [b'\r'] => return Ok(b""),
            _ => return Err("a chunk does not end where it said".to_owned()),
        }
        if size == 0 {
            answer.complete = true;
            return Ok(rest);
        }
    }
}
