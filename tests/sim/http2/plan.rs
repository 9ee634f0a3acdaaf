//! What a seed decides of a client that speaks HTTP/2.

use std::time::Duration;

use fastrand::Rng;

use super::frames::PREFACE;
use crate::client_plan::{BodyPlan, ClientPlan, Then, size};
use crate::plan::{moment, one_in, rest};

#[derive(Debug)]
pub struct Plan {
    pub is_grpc: bool,
    /// It sends so much of the preface and nothing more.
    pub preface: Option<usize>,
    /// How many bytes of each answer may be under way to it.
    pub window: u32,
    /// How long it takes until it makes room for more. `None`: it never does.
    pub keeps: Option<Duration>,
    /// It acknowledges no ping and does not hear GOAWAY.
    pub is_deaf: bool,
    /// It watches the health of gRPC's services.
    pub watches: bool,
    /// It closes the connection when it has all its answers.
    pub leaves: bool,
    /// When it closes its side of the connection, whatever is in flight.
    pub half_closes: Option<Duration>,
    /// How long after it has begun each stream it resets it.
    pub resets: Vec<Option<Duration>>,
}

impl Plan {
    /// Whether it takes everything as soon as it is there.
    pub fn is_prompt(&self, client: &ClientPlan) -> bool {
        client.reads.1.is_zero() && self.keeps == Some(Duration::ZERO)
    }
}

/// Makes a client that speaks HTTP/2 of one that does not.
pub fn draw(rng: &mut Rng, client: &mut ClientPlan, is_grpc: bool) {
    for request in &mut client.requests {
        if matches!(request.handling.then, Then::Upgrade { .. }) {
            request.handling.then = Then::Answer(size(rng));
        }
        // A head comes whole.
        request.stops &= !matches!(request.body, BodyPlan::None);
    }
    let (window, keeps) = match rng.usize(..8) {
        0 => (rng.u32(..5_000), None),
        1 | 2 => (rng.u32(200..20_000), Some(rest(rng))),
        3 => (1 << 20, Some(Duration::from_millis(rng.u64(..100)))),
        _ => (65_535, Some(Duration::ZERO)),
    };
    client.http2 = Some(Plan {
        is_grpc,
        preface: one_in(rng, 16).then(|| rng.usize(..PREFACE.len())),
        window,
        keeps,
        is_deaf: one_in(rng, 8),
        watches: is_grpc && one_in(rng, 3),
        leaves: one_in(rng, 4),
        half_closes: one_in(rng, 16).then(|| moment(rng)),
        resets: client.requests.iter().map(|_| one_in(rng, 10).then(|| moment(rng))).collect(),
    });
}
