//! What the HTTP engines share: rules over text, without a stream or a connection; limits; what a handler is told.
//!
//! | file | what it decides |
//! |---|---|
//! | `token.rs` | which bytes make a token, and where the elements of a list are |
//! | `host.rs` | which hosts are let in |
//! | `uri.rs` | which bytes a URI may have |
//! | `target.rs` | which request targets are let in, and what they name |
//! | `date.rs` | when an answer was made |
//! | `limits.rs`, `pace.rs` | what a client may ask in time and size; how fast it must be |
//! | `probe.rs`, `last_word.rs` | whether a client that has closed its side is gone; what it is told at the deadline |
//! | `access.rs` | the line of the access log |
//! | `exchange.rs`, `until.rs` | what a handler may want to know; streams that end with the shutdown |
//! | `here.rs` | the services of this thread, for exchanges |
//! | `answer_fields.rs` | which fields frame an answer, and what a handler may say of them |
//!
//! A reason for a refusal is a short text for the client; the status that goes with it is 400.

mod access;
mod answer_fields;
mod date;
mod exchange;
mod here;
mod host;
mod last_word;
mod limits;
mod pace;
mod probe;
#[cfg(feature = "http")]
mod target;
mod token;
mod until;
mod uri;

#[cfg(feature = "hyper")]
pub(crate) use access::count_answer;
#[cfg(feature = "http")]
pub(crate) use access::{is_logged, log_access};
pub(crate) use answer_fields::{AnswerFields, End, Form, Version};
pub(crate) use date::DateLine;
pub use exchange::Exchange;
pub(crate) use exchange::Exchanges;
#[cfg(feature = "hyper")]
pub(crate) use host::check_host;
pub(crate) use last_word::RETRY_AFTER;
#[cfg(feature = "hyper")]
pub(crate) use last_word::last_word;
pub use limits::Limits;
pub(crate) use pace::Pace;
#[cfg(feature = "http")]
pub(crate) use probe::CONTINUE;
#[cfg(feature = "hyper")]
pub(crate) use probe::Probe;
#[cfg(feature = "http")]
pub(crate) use target::Target;
#[cfg(feature = "http")]
pub(crate) use token::{is_token, tokens};
pub use until::UntilShutdown;
pub(crate) use until::is_event_stream;
#[cfg(feature = "hyper")]
pub(crate) use until::{Over, Until};
#[cfg(any(feature = "admin", feature = "hyper"))]
pub(crate) use uri::check_bytes;
