//! The guard at the door.
