//! An HTTP/2 client that sends and reads single frames (RFC 9113), so that a test can step its windows.

use adieu::testing::{MemoryStream, Network};

/// What an HTTP/2 client begins with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// Error codes (RFC 9113, 7).
pub const NO_ERROR: u32 = 0;
pub const INTERNAL_ERROR: u32 = 2;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;

/// A frame that the server has sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// The error code of a RST_STREAM or GOAWAY.
    pub fn error(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        number(&self.payload[at..at + 4])
    }

    /// The highest stream that a GOAWAY lets through.
    pub fn last_stream(&self) -> u32 {
        number(&self.payload[..4])
    }

    /// The status of an answer's head, which begins with it.
    pub fn status(&self) -> u16 {
        match self.payload[0] {
            0x88 => 200,
            0x89 => 204,
            0x8b => 304,
            0x8c => 400,
            0x8d => 404,
            0x8e => 500,
            // A literal with the name `:status`: its value is three digits in Huffman's code.
            0x48 | 0x08 => digits(&self.payload[2..]),
            other => panic!("an index that these tests do not know: {other:#x}"),
        }
    }
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("there are four"))
}

/// Three digits in the code of RFC 7541, appendix B: five bits for 0 to 2, six for the others.
fn digits(coded: &[u8]) -> u16 {
    let bits = coded.iter().take(3).fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << 8;
    let (mut at, mut value) = (0, 0);
    for _ in 0..3 {
        let five = (bits << at >> 27) as u16;
        let six = (bits << at >> 26) as u16;
        let (digit, taken) = if five < 3 { (five, 5) } else { (six - 0x19 + 3, 6) };
        value = value * 10 + digit;
        at += taken;
    }
    value
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).expect("it is short").to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Header fields as literals without indexing, and without Huffman's code.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block
                .push(u8::try_from(text.len()).ok().filter(|len| *len < 127).expect("it is short"));
            block.extend(text.as_bytes());
        }
    }
    block
}

/// The bytes of a client that asks for a path, for those that have no [`Client`].
pub fn opening(path: &str) -> Vec<u8> {
    opening_of("GET", path, true)
}

/// The same by any method, and with a body to follow unless it ends here.
pub fn opening_of(method: &str, path: &str, ends: bool) -> Vec<u8> {
    let flags = END_HEADERS | if ends { END_STREAM } else { 0 };
    let request = frame(HEADERS, flags, 1, &block(&head(method, path)));
    [PREFACE, &frame(SETTINGS, 0, 0, &[]), &request].concat()
}

pub fn data_frame(stream: u32, content: &[u8]) -> Vec<u8> {
    frame(DATA, 0, stream, content)
}

/// The whole frames in these bytes.
pub fn frames_in(bytes: &[u8]) -> Vec<Frame> {
    split(&mut bytes.to_vec())
}

/// Takes the whole frames out of what was received.
fn split(received: &mut Vec<u8>) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = received.split_at_checked(9) {
        let length = number(&[0, head[0], head[1], head[2]]) as usize;
        let Some(payload) = rest.get(..length) else { break };
        let (kind, flags) = (head[3], head[4]);
        let stream = number(&head[5..]);
        frames.push(Frame { kind, flags, stream, payload: payload.to_vec() });
        received.drain(..9 + length);
    }
    frames
}

/// A client with the preface and its settings sent.
pub struct Client {
    pub stream: MemoryStream,
    received: Vec<u8>,
}

impl Client {
    /// Connects, and lets every stream have a window of so many bytes at first.
    pub fn connect(network: &Network, window: u32) -> Client {
        Client::over(network.connect().expect("it listens"), window)
    }

    pub fn over(stream: MemoryStream, window: u32) -> Client {
        stream.send(PREFACE);
        let client = Client { stream, received: Vec::new() };
        client.settings(window);
        client
    }

    pub fn send(&self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.stream.send(&frame(kind, flags, stream, payload));
    }

    /// Sets the initial window of streams; open ones change with it (RFC 9113, 6.9.2).
    pub fn settings(&self, window: u32) {
        let mut payload = vec![0, 4];
        payload.extend(window.to_be_bytes());
        self.send(SETTINGS, 0, 0, &payload);
    }

    /// A request with these header fields, and with a body to follow unless it ends here.
    pub fn request(&self, stream: u32, ends: bool, fields: &[(&str, &str)]) {
        let flags = END_HEADERS | if ends { END_STREAM } else { 0 };
        self.send(HEADERS, flags, stream, &block(fields));
    }

    pub fn get(&self, stream: u32, path: &str) {
        self.request(stream, true, &head("GET", path));
    }

    pub fn post(&self, stream: u32, path: &str) {
        self.request(stream, false, &head("POST", path));
    }

    pub fn data(&self, stream: u32, ends: bool, content: &[u8]) {
        self.send(DATA, if ends { END_STREAM } else { 0 }, stream, content);
    }

    /// The same with 255 bytes of padding.
    pub fn padded(&self, stream: u32, ends: bool, content: &[u8]) {
        let mut payload = vec![255];
        payload.extend(content);
        payload.resize(payload.len() + 255, 0);
        self.send(DATA, PADDED | if ends { END_STREAM } else { 0 }, stream, &payload);
    }

    /// Widens the window of a stream, or with 0 of the connection.
    pub fn widen(&self, stream: u32, by: u32) {
        self.send(WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    }

    pub fn reset(&self, stream: u32, error: u32) {
        self.send(RST_STREAM, 0, stream, &error.to_be_bytes());
    }

    /// The frames that have arrived whole since this was last asked. Its settings and pings are
    /// acknowledged.
    pub fn frames(&mut self) -> Vec<Frame> {
        let frames = self.frames_unanswered();
        for frame in &frames {
            if matches!(frame.kind, SETTINGS | PING) && frame.flags & ACK == 0 {
                let echo = if frame.kind == PING { frame.payload.as_slice() } else { &[] };
                self.send(frame.kind, ACK, 0, echo);
            }
        }
        frames
    }

    /// The same, where the server may have closed: then nothing is acknowledged.
    pub fn frames_of(&mut self, closed: bool) -> Vec<Frame> {
        if closed { self.frames_unanswered() } else { self.frames() }
    }

    /// The same, of a client that acknowledges nothing.
    pub fn frames_unanswered(&mut self) -> Vec<Frame> {
        self.received.extend(self.stream.received());
        split(&mut self.received)
    }
}

pub fn head<'a>(method: &'a str, path: &'a str) -> [(&'a str, &'a str); 4] {
    [(":method", method), (":scheme", "http"), (":authority", "test"), (":path", path)]
}

/// The bytes of content among these frames.
pub fn content(frames: &[Frame]) -> usize {
    frames.iter().filter(|frame| frame.kind == DATA).map(|frame| frame.payload.len()).sum()
}
