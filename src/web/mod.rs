//! What both HTTP engines share: rules for what clients ask and for what handlers answer. Pure: nothing
//! here knows a stream or a connection.

mod answer_fields;
mod host;
mod target;
mod tokens;

pub(crate) use answer_fields::{AnswerFields, Fate};
pub(crate) use host::is_host;
pub(crate) use target::is_target;
pub(crate) use tokens::{is_token, tokens};
