//! A clock and a network that a test moves by hand. (Feature `testing`.)
//!
//! A [`Rig`] is a run with a clock, a network and signals of its own: a test takes a step, looks, and takes
//! the next one. Nothing here sleeps and no port is opened. `docs/testing.md` in the repository shows how.

mod clock;
#[cfg(feature = "hyper")]
mod http2;
mod network;
mod rig;
mod step;
mod stream;

pub use clock::ManualClock;
#[cfg(feature = "hyper")]
pub use http2::{Http2Body, Http2Client};
pub use network::{MemoryListener, Network, memory};
pub use rig::Rig;
pub use step::settle;
pub use stream::MemoryStream;
