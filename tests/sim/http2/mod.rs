//! Clients that speak HTTP/2, also with gRPC's services: what they do, and what they are owed.

mod client;
mod frames;
mod io;
mod judge;
mod plan;
mod watch;
mod wire;

pub use client::{body, live};
pub use judge::judge;
pub use plan::{Plan, draw};
pub use watch::{look, look_at_health};
pub use wire::Wire;

use crate::world::Stamp;

/// What a client sees of its streams.
#[derive(Debug, Default)]
pub struct Seen {
    /// Those of its requests, in their order.
    pub streams: Vec<Stream>,
    /// What it was told of the server's health, if it watches that.
    pub health: Vec<u8>,
    /// The watch has ended well.
    pub watch_ended: bool,
}

/// One of its streams.
#[derive(Debug, Default)]
pub struct Stream {
    /// Its number, once it has begun.
    pub id: Option<u32>,
    /// When its head was written.
    pub written: Option<Stamp>,
    /// The client itself has given it up.
    pub was_reset: bool,
    pub answered: Option<Answered>,
}

impl Seen {
    /// Whether this request was answered in full; `None` if it was not over HTTP/2.
    pub fn is_answered(&self, number: usize) -> Option<bool> {
        self.streams.get(number).map(|stream| stream.answered.is_some())
    }
}

/// The whole answer to a stream.
#[derive(Debug)]
pub struct Answered {
    /// Which one it is among all that the client has got.
    pub answer: usize,
    pub grpc_status: Option<String>,
}

/// The service of gRPC.
pub const GRPC: &str = "sim.Sim";

fn path(is_grpc: bool, id: &str) -> String {
    if is_grpc { format!("/{GRPC}/{id}") } else { format!("/{id}") }
}

/// Bytes as a message of gRPC.
pub fn message(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("it is short").to_be_bytes();
    [&[0], &length[..], bytes].concat()
}
