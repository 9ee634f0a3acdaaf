//! What a seed decides of a client: what it sends and when, how it reads, and what the handlers do for it.

use std::time::Duration;

use fastrand::Rng;

use crate::http2;
use crate::plan::{IDLE, moment, one_in, rest, several};

#[derive(Debug)]
pub struct ClientPlan {
    pub service: usize,
    pub arrives: Duration,
    /// How many bytes fit into each direction of the connection.
    pub capacity: usize,
    /// How much it reads at once, and how long it rests after that.
    pub reads: (usize, Duration),
    /// Whether it sends a request only after the answer to the one before.
    pub waits: bool,
    /// Whether it goes on sending after the server has half-closed.
    pub rude: bool,
    pub requests: Vec<RequestPlan>,
    /// What it sends after an upgrade, or over raw TCP, and how the handler there treats it.
    pub raw: Vec<(Duration, usize)>,
    pub talk: Talk,
    pub half_closes: bool,
    pub vanishes: Option<Duration>,
    /// How it speaks HTTP/2, if it does. Its requests are streams then, and what has no place in HTTP/2 of a
    /// request's plan is not done.
    pub http2: Option<http2::Plan>,
}

#[derive(Debug)]
pub struct RequestPlan {
    pub body: BodyPlan,
    pub padding: usize,
    pub expects_continue: bool,
    pub asks_close: bool,
    /// HTTP/1.0, which asks for the close by its version.
    pub is_old: bool,
    /// Where the bytes are split, as fractions of the whole, and how long the client rests before each part.
    pub parts: Vec<(Duration, f64)>,
    /// The last part is never sent.
    pub stops: bool,
    pub handling: Handling,
}

#[derive(Debug)]
pub enum BodyPlan {
    None,
    Length(usize),
    /// So many bytes, in chunks of so many.
    Chunked(usize, usize),
}

/// What the handler does with a request.
#[derive(Debug)]
pub struct Handling {
    pub reads_body: bool,
    pub takes: Duration,
    pub then: Then,
}

#[derive(Debug)]
pub enum Then {
    Answer(usize),
    SayClose(usize),
    /// A body of unknown length, in parts that take time.
    Stream(Vec<(Duration, usize)>),
    Fail(u16),
    Panic,
    Never,
    /// Echoes what comes, until the client ends it or, if polite, until the drain begins.
    Upgrade {
        polite: bool,
    },
}

/// What a handler of raw TCP does with a connection.
#[derive(Clone, Copy, Debug)]
pub enum Talk {
    /// Echoes what comes, after so long each time, until the drain begins and there is nothing more.
    Echo(Duration),
    /// Echoes, and sees no end but the client's.
    Stubborn,
    /// These two as soon as something has come.
    Fail,
    Panic,
}

/// Small, or large enough to be more than one read or write.
pub fn size(rng: &mut Rng) -> usize {
    match rng.usize(..8) {
        0 => rng.usize(..100_000),
        1 | 2 => rng.usize(..5_000),
        _ => rng.usize(..100),
    }
}

pub fn client(rng: &mut Rng, service: usize, is_raw: bool) -> ClientPlan {
    let mut requests = match is_raw || one_in(rng, 8) {
        true => Vec::new(),
        false => several(rng, 5, request),
    };
    // Nothing but raw bytes can come after an upgrade, and after a part that never comes nothing at all.
    let is_last = |request: &RequestPlan| {
        request.stops || matches!(request.handling.then, Then::Upgrade { .. })
    };
    if let Some(last) = requests.iter().position(is_last) {
        requests.truncate(last + 1);
    }
    // Each request after the first in the very instant in which a short idle limit passes.
    let punctual = one_in(rng, 8);
    if punctual {
        requests.iter_mut().skip(1).for_each(|request| request.parts[0].0 = IDLE);
    }
    let slow = one_in(rng, 4) && !punctual;
    ClientPlan {
        service,
        arrives: moment(rng),
        capacity: if slow { rng.usize(100..5_000) } else { 64 * 1024 },
        reads: match slow {
            true => (rng.usize(200..20_000), Duration::from_millis(rng.u64(..100))),
            false => (64 * 1024, Duration::ZERO),
        },
        waits: punctual || rng.bool(),
        rude: one_in(rng, 4),
        requests,
        raw: match is_raw && one_in(rng, 8) {
            true => Vec::new(),
            false => several(rng, 4, |rng| (rest(rng), rng.usize(1..3_000))),
        },
        talk: match rng.usize(..12) {
            0 => Talk::Stubborn,
            1 => Talk::Fail,
            2 => Talk::Panic,
            _ => Talk::Echo(rest(rng)),
        },
        half_closes: one_in(rng, 5),
        vanishes: one_in(rng, 6).then(|| moment(rng)),
        http2: None,
    }
}

fn request(rng: &mut Rng) -> RequestPlan {
    let body = match rng.usize(..6) {
        0 | 1 => BodyPlan::Length(size(rng)),
        2 => BodyPlan::Chunked(size(rng), rng.usize(100..10_000)),
        _ => BodyPlan::None,
    };
    let then = match rng.usize(..24) {
        0 => Then::SayClose(size(rng)),
        1..4 => Then::Stream(several(rng, 4, |rng| (rest(rng), size(rng).max(1)))),
        4 => Then::Fail(rng.u16(400..405)),
        5 => Then::Panic,
        6 => Then::Never,
        7 if matches!(body, BodyPlan::None) => Then::Upgrade { polite: rng.bool() },
        _ => Then::Answer(size(rng)),
    };
    let trickles = one_in(rng, 8);
    let mut parts =
        several(rng, 4, |rng| (if trickles { moment(rng) } else { rest(rng) }, rng.f64()));
    parts.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    let may_close = !matches!(then, Then::Upgrade { .. });
    let is_old = one_in(rng, 8) && may_close && !matches!(body, BodyPlan::Chunked(..));
    RequestPlan {
        expects_continue: !matches!(body, BodyPlan::None) && !is_old && one_in(rng, 6),
        body,
        padding: rng.usize(..200),
        asks_close: is_old || one_in(rng, 12) && may_close,
        is_old,
        stops: one_in(rng, 12),
        parts,
        handling: Handling { reads_body: !one_in(rng, 5), takes: rest(rng), then },
    }
}
