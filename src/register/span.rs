//! How connections ended after the cause: what the timeline draws.

use std::fmt;
use std::time::Instant;

use super::state::State;
use crate::net::Peer;

/// How many connections of one service are noted; the others are only counted.
const MOST_SPANS: usize = 10_000;

/// One connection that was open after the cause.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) peer: Peer,
    pub(crate) accepted: Instant,
    /// What it was doing at the cause; `None` if it was accepted later.
    pub(crate) at_cause: Option<State>,
    pub(crate) ended: Instant,
    pub(crate) cut_off: bool,
    /// The request it was cut off in, if any.
    pub(crate) request: String,
}

/// The spans of one service.
#[derive(Default)]
pub(crate) struct Spans {
    noted: Vec<Span>,
    left_out: usize,
}

impl Spans {
    pub(super) fn note(&mut self, span: Span) {
        match self.noted.len() < MOST_SPANS {
            true => self.noted.push(span),
            false => self.left_out += 1,
        }
    }

    pub(crate) fn noted(&self) -> &[Span] {
        &self.noted
    }

    /// How many there were beyond those that are noted.
    pub(crate) fn left_out(&self) -> usize {
        self.left_out
    }
}

/// A report that is printed for debugging need not list them all.
impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spans").field("noted", &self.noted.len()).finish_non_exhaustive()
    }
}
