//! What stands under everything else, and knows nothing of servers.

pub(crate) mod clock;
pub(crate) mod sys;
mod woken;

pub(crate) use woken::WhenWoken;
