//! What has passed between a server and a client that speaks HTTP/2, as the server's system has seen it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::frames::{DATA, Frame, Frames, GOAWAY, HEADERS, NO_ERROR, PREFACE, RST_STREAM};

/// How the answer to half a head begins.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 ";

/// A connection. What happens has the time at which it does.
#[derive(Debug, Default)]
pub struct Wire {
    /// How much of the preface has come, and when the first of it did.
    preface: usize,
    began: Option<Duration>,
    /// The first bytes were none.
    is_other: bool,
    received: Frames,
    sent: Frames,
    pub streams: BTreeMap<u32, Stream>,
    /// Each GOAWAY.
    pub goodbyes: Vec<Goodbye>,
    /// When a stream last came to its end.
    pub rested: Duration,
    /// When something was last written.
    pub wrote: Duration,
    /// The beginning of the answer to part of a preface, which is refused like half a head of HTTP/1.1.
    refusal: Vec<u8>,
}

/// A request.
#[derive(Debug, Default)]
pub struct Stream {
    /// When its head had come.
    pub arrived: Duration,
    /// When content of its answer was last written.
    pub moved: Duration,
    /// When the last of its answer was written.
    pub answered: Option<Duration>,
    /// The whole request has come.
    pub is_whole: bool,
    pub reset_by_client: bool,
    /// The error with which the server has reset it, and when.
    pub reset: Option<(u32, Duration)>,
}

/// The client is told to go away.
#[derive(Debug)]
pub struct Goodbye {
    /// The highest stream that it lets through.
    pub last: u32,
    pub error: u32,
    pub at: Duration,
}

impl Stream {
    pub fn has_ended(&self) -> bool {
        self.answered.is_some() || self.reset_by_client || self.reset.is_some()
    }
}

impl Wire {
    /// The server has read this.
    pub fn note_read(&mut self, mut bytes: &[u8], now: Duration) {
        if self.is_other || bytes.is_empty() {
            return;
        }
        if let Some(rest) = PREFACE.get(self.preface..).filter(|rest| !rest.is_empty()) {
            self.began.get_or_insert(now);
            let (start, behind) = bytes.split_at(rest.len().min(bytes.len()));
            self.is_other = !rest.starts_with(start);
            self.preface += start.len();
            bytes = behind;
        }
        if !self.is_other {
            let Wire { received, streams, rested, .. } = self;
            received.pass(bytes, |frame| {
                if frame.kind == HEADERS {
                    let stream = Stream { arrived: now, ..Stream::default() };
                    streams.entry(frame.stream).or_insert(stream);
                }
                let Some(stream) = streams.get_mut(&frame.stream) else { return };
                stream.is_whole |= frame.ends_stream();
                if frame.kind == RST_STREAM {
                    stream.reset_by_client = true;
                    *rested = now;
                }
            });
        }
    }

    /// The server has written this.
    pub fn note_written(&mut self, bytes: &[u8], now: Duration) {
        self.wrote = now;
        if !self.is_http2() {
            if self.is_part() && self.refusal.len() < TOO_SLOW.len() {
                self.refusal.extend(bytes);
            }
            return;
        }
        let Wire { sent, streams, goodbyes, rested, .. } = self;
        sent.pass(bytes, |frame: Frame| {
            if frame.kind == GOAWAY {
                let (last, error) = (frame.last_stream(), frame.error());
                goodbyes.push(Goodbye { last, error, at: now });
            }
            let Some(stream) = streams.get_mut(&frame.stream) else { return };
            match frame.kind {
                DATA => stream.moved = now,
                RST_STREAM => stream.reset = Some((frame.error(), now)),
                _ => {}
            }
            // What comes behind a reset was on its way, and is nothing to the client.
            if frame.ends_stream() && !stream.reset_by_client {
                stream.answered = Some(now);
            }
            if stream.has_ended() {
                *rested = now;
            }
        });
    }

    /// The whole preface has come.
    pub fn is_http2(&self) -> bool {
        !self.is_other && self.preface == PREFACE.len()
    }

    /// Whether there was any request.
    pub fn asked(&self) -> bool {
        !self.streams.is_empty()
    }

    /// Only part of the preface has come.
    pub fn is_part(&self) -> bool {
        self.preface > 0 && !self.is_other && !self.is_http2()
    }

    /// When the first of the preface came.
    pub fn began(&self) -> Option<Duration> {
        self.began
    }

    /// How many requests were answered in full.
    pub fn answered(&self) -> usize {
        let streams = self.streams.values().filter(|stream| stream.answered.is_some());
        streams.count() + usize::from(self.refusal.starts_with(TOO_SLOW))
    }

    /// Whether the server has told the client that it never looked at this stream.
    pub fn is_refused(&self, stream: u32) -> bool {
        self.goodbyes.iter().any(|it| stream > it.last && it.error == NO_ERROR)
    }

    /// Whether a request waits for the rest of its answer.
    pub fn is_in_flight(&self) -> bool {
        self.streams.iter().any(|(id, stream)| !stream.has_ended() && !self.is_refused(*id))
    }
}
