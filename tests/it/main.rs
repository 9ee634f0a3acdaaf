//! The integration tests: one binary, so that the library is linked once.
//!
//! They step a [`smol::LocalExecutor`], a manual clock and an in-memory network; nothing sleeps.
//! What is global to a process (real signals, the logger, descriptors) is in `tests/process.rs`.

mod accept;
mod bench;
mod clients;
#[cfg(feature = "http")]
mod drain;
#[cfg(feature = "http")]
mod guard;
mod promises;
mod readme;
mod supervisor;
mod tcp;
mod unix;
