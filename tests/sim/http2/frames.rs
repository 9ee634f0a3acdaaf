//! Frames as they pass on a wire (RFC 9113, 4.1).

/// What an HTTP/2 client begins with (RFC 9113, 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;

pub const NO_ERROR: u32 = 0;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;

const END_STREAM: u8 = 1;

/// How long a frame's head is, and how much of its payload is looked at.
const HEAD: usize = 9;
const LOOK: usize = 8;

/// A frame that has passed to its last byte. Heads are short here: there is no CONTINUATION.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    payload: [u8; LOOK],
}

impl Frame {
    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// The error code of a RST_STREAM or GOAWAY.
    pub fn error(&self) -> u32 {
        number(if self.kind == GOAWAY { &self.payload[4..] } else { &self.payload })
    }

    /// The highest stream that a GOAWAY lets through.
    pub fn last_stream(&self) -> u32 {
        number(&self.payload)
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes[..4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Follows the frames of one direction, however they are cut into pieces.
#[derive(Debug, Default)]
pub struct Frames {
    /// The head and what is looked at, as far as it has passed.
    seen: Vec<u8>,
    /// How much of the frame has passed.
    passed: usize,
}

impl Frames {
    /// Follows what a client says from its first byte on.
    pub fn behind_preface() -> Frames {
        // As if the preface were the payload of a frame of an unknown kind.
        let mut seen = vec![0, 0, PREFACE.len() as u8, u8::MAX, 0, 0, 0, 0, 0];
        seen.resize(HEAD + LOOK, 0);
        Frames { seen, passed: HEAD }
    }

    /// Sees `bytes` pass, and tells `note` of each frame that they end.
    pub fn pass(&mut self, mut bytes: &[u8], mut note: impl FnMut(Frame)) {
        loop {
            let head = match self.seen.get(..HEAD) {
                Some(head) => head,
                None if bytes.is_empty() => return,
                None => {
                    let more = bytes.len().min(HEAD - self.seen.len());
                    self.take(&mut bytes, more);
                    continue;
                }
            };
            let length = number(&[0, head[0], head[1], head[2]]) as usize;
            let left = (HEAD + length - self.passed).min(bytes.len());
            self.take(&mut bytes, left);
            if self.passed < HEAD + length {
                return;
            }
            self.seen.resize(HEAD + LOOK, 0);
            let [_, _, _, kind, flags, ..] = self.seen[..] else { return };
            let stream = number(&self.seen[5..]) & (u32::MAX >> 1);
            let mut payload = [0; LOOK];
            payload.copy_from_slice(&self.seen[HEAD..]);
            (self.passed, self.seen) = (0, Vec::new());
            note(Frame { kind, flags, stream, payload });
        }
    }

    fn take(&mut self, bytes: &mut &[u8], amount: usize) {
        let (taken, rest) = bytes.split_at(amount);
        let room = HEAD + LOOK - self.seen.len();
        self.seen.extend_from_slice(&taken[..room.min(taken.len())]);
        self.passed += amount;
        *bytes = rest;
    }
}
