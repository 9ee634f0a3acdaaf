//! Answers on their way out: gathered until they are written, and counted then.

use std::time::Instant;

use crate::server::Connection;

/// How much of an answer is gathered before it is written.
const WRITE_SIZE: usize = 32 * 1024;

/// What waits to be written.
#[derive(Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// The answers that end in it.
    answers: Vec<Unsent>,
}

/// An answer that is complete, and to be counted when all of it is written.
struct Unsent {
    /// Where it ends in the outbox.
    end: usize,
    status: u16,
    began: Instant,
}

impl Unsent {
    fn count(&self, connection: &Connection) {
        let took = connection.clock().now().saturating_duration_since(self.began);
        connection.count_answer(self.status, took);
    }
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether as much waits as is gathered at most.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= WRITE_SIZE
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// To add to it, or to correct what is in it.
    pub(super) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Here an answer is complete. It counts once all of it is written.
    pub(super) fn complete(&mut self, status: u16, connection: &Connection) {
        let unsent = Unsent { end: self.bytes.len(), status, began: connection.since() };
        match unsent.end {
            0 => unsent.count(connection),
            _ => self.answers.push(unsent),
        }
    }

    /// So much of it was written by now.
    pub(super) fn note_written(&mut self, bytes: usize, connection: &Connection) {
        let whole = self.answers.iter().take_while(|answer| answer.end <= bytes).count();
        self.answers.drain(..whole).for_each(|answer| answer.count(connection));
    }

    /// It was written, or nobody is there to take it.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.answers.clear();
    }
}
