//! What `tests/it` checks, for the targets.

#[path = "../../tests/child/bound.rs"]
pub mod bound;
#[path = "../../tests/it/choices.rs"]
pub mod choices;
#[path = "../../tests/it/h2.rs"]
pub mod h2;
#[path = "../../tests/it/properties.rs"]
pub mod properties;
#[path = "../../tests/it/properties_h2.rs"]
pub mod properties_h2;
#[path = "../../tests/common/reader.rs"]
pub mod reader;
#[path = "../../tests/it/rig.rs"]
pub mod rig;
