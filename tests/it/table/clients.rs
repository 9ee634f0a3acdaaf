//! The clients of the table, and what they see.

use std::collections::BTreeMap;
use std::time::Duration;

use adieu::Stream;
use adieu::testing::{MemoryStream, Network, Rig};

use crate::h2;

#[derive(Clone, Copy, PartialEq)]
pub enum Speaks {
    Http1,
    Http2,
    Grpc,
    Bytes,
}

/// A client of any engine.
pub struct Client {
    speaks: Speaks,
    stream: Option<MemoryStream>,
    http2: Option<h2::Client>,
    next_stream: u32,
    /// How much it takes at once; without it, all that comes.
    takes: Option<usize>,
    /// Whether it has closed its side, and can acknowledge nothing.
    is_silent: bool,
    /// How many answers it waits for.
    asked: usize,
    seen: Seen,
}

/// What it has seen since the phase began.
#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    streams: BTreeMap<u32, OfStream>,
    goodbye: bool,
    closed: bool,
    reset: bool,
    /// The server's end is gone, whatever is still to be taken.
    gone: bool,
    /// When it last saw something new.
    last: Duration,
}

#[derive(Default)]
struct OfStream {
    status: Option<u16>,
    grpc: Option<u8>,
    ended: bool,
    reset: Option<u32>,
}

/// How `grpc-status` stands at the end of a block of header fields: its value in Huffman's code (RFC 7541).
const UNAVAILABLE: &[u8] = &[0x82, 0x0b, 0x5f];
const OK: &[u8] = &[0x81, 0x07];

impl Client {
    pub fn new(speaks: Speaks, network: &Network) -> Client {
        let stream = network.connect_with_capacity(16 * 1024).expect("somebody listens");
        Client {
            speaks,
            stream: Some(stream),
            http2: None,
            next_stream: 1,
            takes: None,
            is_silent: false,
            asked: 0,
            seen: Seen::default(),
        }
    }

    fn is_http2(&self) -> bool {
        matches!(self.speaks, Speaks::Http2 | Speaks::Grpc)
    }

    /// Lets the server accept it.
    pub fn greet(&mut self, rig: &Rig) {
        rig.settle();
    }

    fn http2(&mut self, window: u32) -> &mut h2::Client {
        let stream = &mut self.stream;
        self.http2.get_or_insert_with(|| {
            let client = h2::Client::over(stream.take().expect("it is connected"), window);
            client.widen(0, 1 << 30);
            client
        })
    }

    fn wire(&self) -> Option<&MemoryStream> {
        self.stream.as_ref().or(self.http2.as_ref().map(|client| &client.stream))
    }

    fn begin_stream(&mut self, method: &str, path: &str, ends: bool) {
        let id = self.next_stream;
        self.next_stream += 2;
        let is_grpc = self.speaks == Speaks::Grpc;
        let path = if is_grpc { format!("/table.Table{path}") } else { path.to_owned() };
        let method = if is_grpc { "POST" } else { method };
        let mut fields = h2::head(method, &path).to_vec();
        if is_grpc {
            fields.extend([("content-type", "application/grpc"), ("te", "trailers")]);
        }
        self.http2(1 << 20).request(id, ends, &fields);
        self.seen.streams.insert(id, OfStream::default());
    }

    pub fn ask(&mut self, path: &str) {
        self.asked += 1;
        match self.speaks {
            Speaks::Http2 | Speaks::Grpc => self.begin_stream("GET", path, true),
            Speaks::Http1 => {
                let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
                self.send(request.as_bytes());
            }
            Speaks::Bytes => self.send(path.as_bytes()),
        }
    }

    pub fn ask_for_three(&mut self, path: &str) {
        (0..3).for_each(|_| self.ask(path));
    }

    pub fn ask_slowly(&mut self, path: &str) {
        self.takes = Some(0);
        if self.is_http2() {
            self.http2(10_000);
        }
        self.ask(path);
    }

    fn send(&self, bytes: &[u8]) {
        self.wire().expect("it is connected").send(bytes);
    }

    pub fn half_a_head(&mut self) {
        match self.is_http2() {
            true => self.send(b"PRI * HTT"),
            false => self.send(b"GET / HT"),
        }
    }

    /// A request with a body of ten bytes, of which these come now.
    pub fn upload(&mut self, first: &[u8]) {
        self.asked += 1;
        match self.is_http2() {
            true => {
                self.begin_stream("POST", "/upload", false);
                self.more(first, false);
            }
            false => {
                let head = "POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n";
                let head = if first.len() > 1 { head.replace("1000", "10") } else { head.into() };
                self.send(head.as_bytes());
                self.send(first);
            }
        }
    }

    pub fn more(&mut self, bytes: &[u8], ends: bool) {
        if !self.is_open() {
            return;
        }
        match self.is_http2() {
            true => {
                let id = self.next_stream - 2;
                let stream = &self.seen.streams[&id];
                if stream.ended || stream.reset.is_some() {
                    return;
                }
                self.http2(0).data(id, ends, bytes);
            }
            false => self.send(bytes),
        }
    }

    pub fn take(&mut self, bytes: usize) {
        self.takes = Some(self.takes.unwrap_or(0) + bytes);
        if self.is_http2() && self.is_open() {
            let id = self.next_stream - 2;
            self.http2(0).widen(id, bytes as u32);
        }
    }

    pub fn upgrade(&mut self) {
        match self.speaks {
            Speaks::Bytes => self.send(b"/upgrade"),
            _ => self.send(
                b"GET /upgrade HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: table\r\n\r\n",
            ),
        }
    }

    pub fn half_close(&mut self) {
        self.is_silent = true;
        self.wire().expect("it is connected").half_close().expect("it is open");
    }

    /// Resets the connection.
    pub fn vanish(&mut self) {
        self.wire().expect("it is connected").reset_on_close(true);
        (self.stream, self.http2) = (None, None);
    }

    pub fn has_vanished(&self) -> bool {
        self.wire().is_none()
    }

    pub fn is_open(&self) -> bool {
        self.wire().is_some_and(|stream| !stream.is_closed() && !stream.is_gone())
    }

    /// Lets everybody act, and takes note of what comes.
    pub fn settle(&mut self, rig: &Rig) {
        for _ in 0..3 {
            rig.settle();
            self.receive();
        }
    }

    /// Here the phase begins: what was seen before is no part of it.
    pub fn begin(&mut self) {
        self.asked -= self.answers().len().min(self.asked);
        self.seen.streams.retain(|_, stream| !stream.ended);
        self.seen.bytes.clear();
    }

    /// Whether it has asked for something, and waits for nothing more.
    pub fn has_its_answers(&self) -> bool {
        self.asked > 0 && self.answers().iter().filter(|it| *it != "cut").count() >= self.asked
    }

    fn answers(&self) -> Vec<String> {
        match self.speaks {
            Speaks::Http1 => self.seen.http1(),
            Speaks::Bytes => self.seen.plain(),
            Speaks::Http2 | Speaks::Grpc => self.seen.http2(),
        }
    }

    pub fn look(&mut self, rig: &Rig, after: Duration) {
        let before = self.seen.mark();
        for _ in 0..3 {
            self.receive();
            rig.settle();
        }
        self.receive();
        if self.seen.mark() != before {
            self.seen.last = after;
        }
    }

    fn receive(&mut self) {
        let Some(wire) = self.wire() else { return };
        let (closed, reset) = (wire.is_closed() || wire.is_gone(), wire.is_reset());
        self.seen.gone |= wire.is_gone();
        match (&mut self.http2, &self.stream) {
            (Some(client), _) => {
                for frame in client.frames_of(closed || self.is_silent) {
                    self.seen.frame(&frame);
                }
            }
            (None, Some(stream)) => {
                let bytes = match &mut self.takes {
                    Some(amount) => {
                        let bytes = stream.receive(*amount);
                        *amount -= bytes.len();
                        bytes
                    }
                    None => stream.received(),
                };
                self.seen.bytes.extend(bytes);
            }
            (None, None) => {}
        }
        self.seen.reset |= reset;
        self.seen.closed |= closed;
    }

    /// What it has seen, in a few words. `told`: whether it is worth a word that it was told to go elsewhere.
    pub fn words(&self, told: bool) -> String {
        let mut words = counted(self.answers());
        let is_told = match self.speaks {
            Speaks::Http1 => contains(&self.seen.bytes, b"onnection: close"),
            _ => self.seen.goodbye,
        };
        let end = match (self.seen.reset, self.seen.closed) {
            (true, _) => "reset",
            (_, true) => "closed",
            (_, false) if words.is_empty() => "stays",
            _ => "",
        };
        if words.is_empty() || (end == "reset") {
            words.extend((!end.is_empty()).then(|| end.to_owned()));
        }
        if told && is_told {
            words.push("told to go".to_owned());
        }
        let words = words.join(", ");
        match self.seen.last.as_millis() {
            _ if words == "stays" => words,
            0..=200 => words,
            millis => format!("{words} after {} s", (millis + 400) / 1000),
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

impl Seen {
    /// Something that changes whenever something new is seen.
    fn mark(&self) -> (usize, usize, bool, bool, bool, bool) {
        let of_streams = |stream: &OfStream| {
            usize::from(stream.status.is_some())
                + usize::from(stream.ended)
                + usize::from(stream.reset.is_some())
        };
        let streams = self.streams.values().map(of_streams).sum();
        (self.bytes.len(), streams, self.goodbye, self.closed, self.reset, self.gone)
    }

    fn frame(&mut self, frame: &h2::Frame) {
        if frame.kind == h2::GOAWAY {
            self.goodbye = true;
        }
        let Some(stream) = self.streams.get_mut(&frame.stream) else { return };
        match frame.kind {
            h2::HEADERS if stream.status.is_none() => {
                stream.status = Some(frame.status());
            }
            h2::RST_STREAM => stream.reset = Some(frame.error()),
            _ => {}
        }
        if frame.kind == h2::HEADERS {
            for (code, number) in [(UNAVAILABLE, 14), (OK, 0)] {
                if contains(&frame.payload, code) {
                    stream.grpc = Some(number);
                }
            }
        }
        stream.ended |= frame.ends_stream();
    }

    fn http1(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.bytes);
        if text.contains("goodbye") {
            return vec!["goodbye of the handler".to_owned()];
        }
        let mut answers = Vec::new();
        for answer in text.split("HTTP/1.1 ").skip(1) {
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
            let status = &head[..3];
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let is_whole = match length {
                Some(length) => length.parse() == Ok(body.len()),
                None => body.ends_with("0\r\n\r\n"),
            };
            answers.push(match (status, is_whole) {
                ("200", true) => "answered".to_owned(),
                ("200", false) => "cut".to_owned(),
                (status, _) => status.to_owned(),
            });
        }
        // A stream whose head came before the phase.
        if answers.is_empty() && text.ends_with("0\r\n\r\n") {
            answers.push("ends well".to_owned());
        }
        answers
    }

    fn plain(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.bytes);
        match () {
            () if text.contains("goodbye") => vec!["goodbye of the handler".to_owned()],
            () if text.ends_with("done") => vec!["answered".to_owned()],
            () if text.contains("x") => vec!["cut".to_owned()],
            () => Vec::new(),
        }
    }

    fn http2(&self) -> Vec<String> {
        let mut answers = Vec::new();
        for stream in self.streams.values() {
            answers.push(match stream {
                OfStream { ended: true, grpc: Some(14), .. } => "UNAVAILABLE".to_owned(),
                OfStream { ended: true, status: Some(200), .. } => "answered".to_owned(),
                OfStream { ended: true, status: Some(status), .. } => status.to_string(),
                OfStream { reset: Some(h2::REFUSED_STREAM), .. } => "refused, may retry".to_owned(),
                OfStream { reset: Some(h2::CANCEL), .. } => "CANCEL".to_owned(),
                OfStream { reset: Some(code), .. } => format!("stream error {code}"),
                OfStream { status: Some(_), .. } if self.closed => "cut".to_owned(),
                _ => continue,
            });
        }
        answers
    }
}

/// The same answers are counted.
fn counted(answers: Vec<String>) -> Vec<String> {
    let mut counted: Vec<(String, usize)> = Vec::new();
    for answer in answers {
        match counted.last_mut() {
            Some((last, count)) if *last == answer => *count += 1,
            _ => counted.push((answer, 1)),
        }
    }
    let words = |(answer, count)| match count {
        1 => answer,
        count => format!("{count} {answer}"),
    };
    counted.into_iter().map(words).collect()
}
