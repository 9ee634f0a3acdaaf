//! What the HTTP engines share of the standards: pure functions over text, without a stream or a connection.
//!
//! | file | what it decides |
//! |---|---|
//! | `token.rs` | which bytes make a token, and where the elements of a list are |
//! | `host.rs` | which hosts are let in |
//! | `uri.rs` | which bytes a URI may have |
//! | `target.rs` | which request targets are let in, and what they name |
//! | `date.rs` | when an answer was made |
//! | `answer_fields.rs` | which fields frame an answer, and what a handler may say of them |
//!
//! A reason for a refusal is a short text for the client; the status that goes with it is 400.

mod answer_fields;
mod date;
mod host;
#[cfg(feature = "http")]
mod target;
mod token;
mod uri;

pub(crate) use answer_fields::{AnswerFields, End, Form, Version};
pub(crate) use date::DateLine;
#[cfg(feature = "hyper")]
pub(crate) use host::check_host;
#[cfg(feature = "http")]
pub(crate) use target::Target;
#[cfg(feature = "http")]
pub(crate) use token::{is_token, tokens};
#[cfg(any(feature = "admin", feature = "hyper"))]
pub(crate) use uri::check_bytes;
