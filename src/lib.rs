//! front page
mod clock;
mod connection;
mod error;
mod group;
mod handler;
#[cfg(feature = "http")]
pub mod http;
mod net;
mod report;
mod server;
mod service;
mod shutdown;
mod signal;
mod supervisor;
#[cfg(feature = "testing")]
pub mod testing;

pub use clock::{Clock, Sleep, SystemClock};
pub use connection::{Connection, State};
pub use error::{BoxError, Error};
#[cfg(feature = "http")]
pub use http::Http;
pub use net::{Listener, Peer, Stream, TcpListener, TcpStream};
pub use report::{Cause, Counts, Outcome, Report, ServiceReport, Snapshot, Straggler};
pub use server::{Protocol, Server};
pub use service::{Context, Service};
pub use shutdown::{Shutdown, Trigger, shutdown};
pub use signal::{Signal, SignalSource, Signals, exit, signals};
pub use supervisor::{GRACE, Supervisor};
