//! What `tests/it` checks, for the targets.

#[path = "../../tests/child/bound.rs"]
pub mod bound;
#[path = "../../tests/it/properties.rs"]
pub mod properties;
#[path = "../../tests/common/reader.rs"]
pub mod reader;
#[path = "../../tests/it/rig.rs"]
pub mod rig;
