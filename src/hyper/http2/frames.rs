//! Frames as they pass on the wire, seen by their heads alone (RFC 9113, 4.1).

/// The length of a frame's head, in bytes.
const HEAD: usize = 9;

pub(super) const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
pub(super) const RST_STREAM: u8 = 0x3;
pub(super) const CONTINUATION: u8 = 0x9;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// A frame that has passed to its last byte.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) stream: u32,
    /// The length of its payload, in bytes.
    pub(super) length: usize,
    /// Whether its sender sends no more on this stream.
    pub(super) ends_stream: bool,
}

/// Follows the frames of one direction of a connection, however they are cut into pieces.
#[derive(Default)]
pub(super) struct Frames {
    head: [u8; HEAD],
    /// How much of the head has passed.
    seen: usize,
    /// How much of the payload is still to pass.
    left: usize,
    /// The stream that a block of header fields ends, which goes on in CONTINUATION frames.
    ending: Option<u32>,
}

impl Frames {
    /// Follows frames that begin after so many other bytes.
    pub(super) fn after(other: usize) -> Frames {
        // As if they were the end of a frame of an unknown kind, which means nothing to anybody.
        let head = [0, 0, 0, u8::MAX, 0, 0, 0, 0, 0];
        Frames { head, seen: HEAD, left: other, ending: None }
    }

    /// Sees `bytes` pass, and tells `note` of each frame that they end.
    pub(super) fn pass(&mut self, mut bytes: &[u8], mut note: impl FnMut(Frame)) {
        loop {
            if self.seen < HEAD {
                let (more, rest) = bytes.split_at(bytes.len().min(HEAD - self.seen));
                self.head[self.seen..self.seen + more.len()].copy_from_slice(more);
                self.seen += more.len();
                bytes = rest;
                if self.seen < HEAD {
                    return;
                }
                self.left = self.length();
            }
            let payload = self.left.min(bytes.len());
            self.left -= payload;
            bytes = &bytes[payload..];
            if self.left > 0 {
                return;
            }
            self.seen = 0;
            note(self.end());
        }
    }

    fn length(&self) -> usize {
        let [a, b, c, ..] = self.head;
        u32::from_be_bytes([0, a, b, c]) as usize
    }

    /// The frame that has passed to its end.
    fn end(&mut self) -> Frame {
        let [_, _, _, kind, flags, a, b, c, d] = self.head;
        let stream = u32::from_be_bytes([a, b, c, d]) & (u32::MAX >> 1);
        let ends = flags & END_STREAM != 0;
        let ends_stream = match kind {
            DATA => ends,
            // RFC 9113, 6.2: END_STREAM is in the first frame of the block, which may not be the last.
            HEADERS if flags & END_HEADERS == 0 => {
                self.ending = ends.then_some(stream);
                false
            }
            HEADERS => ends,
            CONTINUATION if flags & END_HEADERS != 0 => self.ending.take() == Some(stream),
            _ => false,
        };
        Frame { kind, stream, length: self.length(), ends_stream }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("it is short");
        let head = [0, 0, length, kind, flags, 0x80, 0, 0, stream];
        [&head, payload].concat()
    }

    #[test]
    fn frames_are_seen_however_they_are_cut() {
        let bytes = [
            b"before".to_vec(),
            frame(HEADERS, END_HEADERS, 1, b"head"),
            frame(DATA, 0, 1, b"content"),
            frame(DATA, END_STREAM, 1, b""),
            frame(HEADERS, END_STREAM, 3, b"begins"),
            frame(CONTINUATION, 0, 3, b"goes on"),
            frame(CONTINUATION, END_HEADERS, 3, b"ends"),
            frame(HEADERS, END_HEADERS | END_STREAM, 5, b"all"),
            frame(RST_STREAM, 0, 7, b"1234"),
        ]
        .concat();
        let seen = |kind, stream, length, ends_stream| Frame { kind, stream, length, ends_stream };
        let wanted = [
            seen(u8::MAX, 0, 0, false),
            seen(HEADERS, 1, 4, false),
            seen(DATA, 1, 7, false),
            seen(DATA, 1, 0, true),
            seen(HEADERS, 3, 6, false),
            seen(CONTINUATION, 3, 7, false),
            seen(CONTINUATION, 3, 4, true),
            seen(HEADERS, 5, 3, true),
            seen(RST_STREAM, 7, 4, false),
        ];
        for piece in 1..=bytes.len() {
            let (mut frames, mut passed) = (Frames::after(b"before".len()), Vec::new());
            for bytes in bytes.chunks(piece) {
                frames.pass(bytes, |frame| passed.push(frame));
            }
            assert_eq!(passed, wanted, "in pieces of {piece}");
        }
    }
}
