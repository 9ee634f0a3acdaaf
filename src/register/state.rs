//! What a connection is doing, and how it looks at one instant.

use std::fmt;
use std::time::Duration;

use crate::net::Peer;
use crate::words::Seconds;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has not sent a byte yet.
    New,
    /// Part of a request head has arrived.
    Head,
    /// A request is being answered.
    Active,
    /// It is between requests.
    Idle,
    /// It was handed to the handler.
    Upgraded,
    /// Its last answer is written; it waits for the peer to have read it.
    Closing,
}

impl State {
    /// All of them.
    pub const ALL: [State; 6] = {
        use State::{Active, Closing, Head, Idle, New, Upgraded};
        [New, Head, Active, Idle, Upgraded, Closing]
    };

    /// Whether work would be lost if the connection were closed now.
    pub fn is_in_flight(self) -> bool {
        matches!(self, State::Head | State::Active | State::Upgraded)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::New => "new",
            State::Head => "head",
            State::Active => "active",
            State::Idle => "idle",
            State::Upgraded => "upgraded",
            State::Closing => "closing",
        })
    }
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The client, to send a request, or the rest of a request's head.
    Head,
    /// The client, to send more of a request's body.
    Body,
    /// The handler, or whoever has taken the connection over.
    Handler,
    /// The client, to take more of an answer.
    Answer,
    /// The client, to close.
    Close,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Waiting::Head => "a request head",
            Waiting::Body => "a request body",
            Waiting::Handler => "the handler",
            Waiting::Answer => "the client to take the answer",
            Waiting::Close => "the client to close",
        })
    }
}

/// What a connection knows of its client's end. It only ever goes on to a later one of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ClientEnd {
    /// Nothing has been seen of its end.
    #[default]
    Open,
    /// The client has closed its side. It may still wait for its answer.
    Closed,
    /// The client has reset the connection, or has closed it for good: nobody takes an answer any more.
    Gone,
}

/// A connection at one instant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionStatus {
    /// Who is at the other end.
    pub peer: Peer,
    /// What the connection is doing.
    pub state: State,
    /// How long ago it was accepted.
    pub age: Duration,
    /// How long it has been in this state.
    pub in_state: Duration,
    /// The request in flight, such as `GET /slow`; empty where there is none. Characters that
    /// could confuse a terminal are written as `\u{..}`.
    pub request: String,
    /// Bytes read from it.
    pub received: u64,
    /// Bytes written to it.
    pub sent: u64,
    /// What it waits for.
    pub waits_for: Waiting,
    /// What is known of the client's end.
    pub client: ClientEnd,
}

impl fmt::Display for ConnectionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} for {}", self.peer, self.state, Seconds(self.in_state))?;
        if !self.request.is_empty() {
            write!(f, ", {:.200}", self.request)?;
        }
        // A protocol that does not count has nothing to tell.
        for (bytes, way) in [(self.received, "in"), (self.sent, "out")] {
            if bytes > 0 {
                write!(f, ", {bytes} B {way}")?;
            }
        }
        write!(f, ", waits for {}, open for {}", self.waits_for, Seconds(self.age))?;
        match self.client {
            ClientEnd::Open => Ok(()),
            ClientEnd::Closed => f.write_str(", the client has closed its side"),
            ClientEnd::Gone => f.write_str(", the client is gone"),
        }
    }
}
