//! What `tests/it` checks, for the targets.

#[path = "../../tests/it/properties.rs"]
pub mod properties;
#[path = "../../tests/it/reader.rs"]
pub mod reader;
#[path = "../../tests/it/rig.rs"]
pub mod rig;
