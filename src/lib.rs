//! Supervises several servers in one small process and sees them all out gracefully.
//!
#![cfg_attr(feature = "http", doc = "```no_run")]
#![cfg_attr(feature = "http", doc = include_str!("../examples/hello.rs"))]
#![cfg_attr(feature = "http", doc = "```")]
//!
//! A [`Supervisor`] runs **stages** one after the other to their end. A stage is a group of **services**, and a
//! service is a group of **connections** and tasks. All of them are tasks on one single-threaded executor.
//!
//! ```text
//! signal ─► Supervisor ─► lame duck ─► stage 1 told ─► ended, or out of time ─► stage 2 told ─► … ─► Report ─► exit code
//!                                        ├─ service: the accept loop ends ─► connections finish
//!                                        └─ service: …
//! ```
//!
//! # What to look for
//!
//! | to | see |
//! |---|---|
//! | run services, and say how they are to end | [`Supervisor`] |
//! | make a program of it: signals, exit codes, errors | [`signals`], [`exit`], [`ExitCodes`] |
//! | serve HTTP/1.1 with a function | [`Http`](http/struct.Http.html), and [`http::Limits`](http/struct.Limits.html) (feature `http`) |
//! | serve a hyper or tower service, an `axum::Router`, HTTP/2 | [`Hyper`](hyper/struct.Hyper.html) and [`hyper::tower`](hyper/fn.tower.html) (feature `hyper`) |
//! | serve gRPC | [`Grpc`](grpc/struct.Grpc.html) (feature `grpc`) |
//! | serve bytes over TCP or a Unix socket | [`Tcp`] |
//! | serve a protocol of your own | [`Protocol`], with [`Server`] and [`Connection`] |
//! | run something without a socket: a worker, a timer, a queue | [`Service`], which every `async fn(Context)` is, and [`Context`] |
//! | start a worker again when it fails | [`restart`], [`RestartPolicy`] |
//! | end something after the servers: a flush, a pool | [`Supervisor::next_stage`] and [`reserve`](Supervisor::reserve) |
//! | begin the shutdown from code | [`Supervisor::trigger`], [`Context::shut_down`] |
//! | be not ready for a while, or until a cache is warm | [`Context::not_ready`], [`Supervisor::ready_within`] |
//! | end when one job is done | [`Supervisor::main`] |
//! | end when nobody comes any more | [`Supervisor::exit_when_idle`] |
//! | reload on SIGHUP | [`Signals::hangup`], [`Context::reloads`] |
//! | spawn a task that belongs to a service; run work that blocks | [`Context::spawn`], [`Context::unblock`] |
//! | race your own work against the shutdown | [`Shutdown::race`] |
//! | see clients through a balancer that sends PROXY headers | [`ProxyProtocol`], with [`TrustedPeers`] |
//! | limit connections | [`Server::max_connections`] and [`max_connections_per_peer`](Server::max_connections_per_peer) |
//! | be taken out of a load balancer first | [`Supervisor::lame_duck`] |
//! | send clients elsewhere when their connection is old; let connections go one by one | [`Server::max_age`], [`Supervisor::spread`] |
//! | know about a request what HTTP does not say; end a stream with the shutdown | [`Exchange`](struct.Exchange.html), [`Exchange::until_shutdown`](struct.Exchange.html#method.until_shutdown) |
//! | see from inside how far the run has come | [`Status`], by [`Context::status`] |
//! | see what came of it, and whom it had to cut off | [`Report`], [`Straggler`] |
//! | have probes, metrics and a page | [`Admin`](struct.Admin.html) (feature `admin`) |
//! | work with systemd | [`systemd`](systemd/index.html) (feature `systemd`) |
//! | test that a service shuts down well | [`testing`](testing/index.html) (feature `testing`), and `docs/testing.md` in the repository |
//!
//! `docs/rules.md` in the repository has the rules of the drain, and `docs/operating.md` what to set around the
//! process. The library has no globals, and reads no environment but where systemd or a thread pool is asked
//! for: signals, time and listeners are parameters. Only [`signals`] touches the process, and only its handler
//! ends it. It runs on Unix.

// docs.rs builds with this cfg, and shows beside each item which feature it needs.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(clippy::unwrap_used)]

#[cfg(feature = "admin")]
mod admin;
mod base;
mod error;
mod group;
#[cfg(feature = "grpc")]
pub mod grpc;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "hyper")]
pub mod hyper;
mod net;
mod process;
mod register;
mod report;
mod server;
mod service;
mod shutdown;
mod slot;
mod stage;
mod status;
mod supervisor;
#[cfg(feature = "systemd")]
pub mod systemd;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(any(feature = "http", feature = "hyper"))]
mod web;
mod words;
mod workers;

#[cfg(feature = "hyper")]
pub use self::hyper::Hyper;
#[cfg(feature = "admin")]
pub use admin::Admin;
pub use base::clock::{Clock, Sleep, SystemClock};
pub use error::{BoxError, Error};
#[cfg(feature = "grpc")]
pub use grpc::Grpc;
#[cfg(feature = "http")]
pub use http::Http;
pub use net::{
    Listener, Peer, ResetWatch, SocketListener, SocketStream, Stream, TcpListener, TcpStream,
    UnixListener, UnixStream,
};
pub use process::{Hangup, Signal, SignalSource, Signals, Terms, exit, signals};
pub use register::{
    ClientEnd, ConnectionStatus, Counts, Latency, OpenByState, State, TaskStatus, Waiting,
};
pub use report::{Cause, ExitCodes, Outcome, Report, ServiceReport, Straggler, Unready};
#[cfg(feature = "testing")]
#[doc(hidden)]
pub use server::parts as proxy_parts;
pub use server::{Connection, Protocol, ProxyProtocol, Server, Tcp, TrustedPeers};
pub use service::{Context, Service};
pub use shutdown::{GRACE, Phase, Shutdown, Trigger, shutdown};
pub use slot::ServiceStatus;
pub use status::{NotReady, Status};
pub use supervisor::Supervisor;
#[cfg(any(feature = "http", feature = "hyper"))]
pub use web::{Exchange, UntilShutdown};
pub use workers::{GaveUp, RestartPolicy, restart};

/// The pages whose programs are compiled, and run where they can be, as tests.
#[cfg(all(doctest, feature = "admin", feature = "testing"))]
mod pages {
    #[doc = include_str!("../README.md")]
    mod readme {}
    // The HTTP/2 and gRPC programs need all features.
    #[cfg(feature = "grpc")]
    #[doc = include_str!("../docs/testing.md")]
    mod testing {}
}
