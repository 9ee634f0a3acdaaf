//! What services without a socket need: tasks with names, work on other threads, restarts.

mod restart;
mod tasks;

pub use restart::{GaveUp, RestartPolicy, restart};
