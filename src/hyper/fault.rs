//! What can be wrong with a request's body.

use std::error::Error as StdError;
use std::fmt;

use ::hyper::StatusCode;

/// An error as hyper takes them.
pub(super) type HyperError = Box<dyn StdError + Send + Sync>;

/// Why a body has ended early.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// It is larger than [`body_size`](super::Limits::body_size).
    TooLarge,
    /// Nothing came for as long as [`body_time`](super::Limits::body_time).
    TooSlow,
    /// It has broken off, or is malformed; the source is the engine's error.
    Broken(HyperError),
}

/// The same without its source, to be remembered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    TooLarge,
    TooSlow,
    Broken,
}

impl Fault {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Fault::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Fault::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Fault::Broken => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BodyError::TooLarge => "the request body is too large",
            BodyError::TooSlow => "the request body took too long",
            BodyError::Broken(_) => "the request body did not arrive whole",
        })
    }
}

impl StdError for BodyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            BodyError::Broken(source) => Some(&**source),
            _ => None,
        }
    }
}
