//! A clock and a network that a test moves by hand. (Feature `testing`.)
//!
//! Step the executor, look, step again: nothing here sleeps and no port is opened.
//!
//! ```
//! use std::time::Duration;
//! use adieu::testing::{ManualClock, memory, settle};
//! use adieu::{Server, Supervisor};
//! # #[cfg(feature = "http")] {
//! use adieu::http::{Http, http_types::{Request, Response, Result}};
//!
//! async fn hello(_: Request) -> Result<Response> {
//!     Ok("Hello".into())
//! }
//!
//! let (listener, network) = memory();
//! let supervisor = Supervisor::new()
//!     .clock(ManualClock::new())
//!     .service("hello", Server::new(listener, Http::new(hello)));
//! let trigger = supervisor.trigger();
//! let executor = smol::LocalExecutor::new();
//! let run = executor.spawn(supervisor.run(futures_lite::stream::pending()));
//!
//! let client = network.connect()?;
//! client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n");
//! settle(&executor);
//! assert!(client.received().ends_with(b"Hello"));
//!
//! trigger.shut_down();
//! settle(&executor);
//! assert!(client.is_closed());
//! assert!(smol::block_on(run).expect("names differ").is_graceful());
//! # }
//! # std::io::Result::Ok(())
//! ```

mod clock;
mod network;
mod step;
mod stream;

pub use clock::ManualClock;
pub use network::{MemoryListener, Network, memory};
pub use step::settle;
pub use stream::MemoryStream;
