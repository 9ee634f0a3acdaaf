//! The harness of `tests/it`, for the targets.

#[path = "../../tests/it/answer.rs"]
pub mod answer;
#[path = "../../tests/it/bench.rs"]
pub mod bench;
#[path = "../../tests/it/harness.rs"]
pub mod harness;
