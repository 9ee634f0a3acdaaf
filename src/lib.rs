//! Supervises several servers in one small process and sees them all out gracefully.
//!
#![cfg_attr(feature = "http", doc = "```no_run")]
#![cfg_attr(feature = "http", doc = include_str!("../examples/hello.rs"))]
#![cfg_attr(feature = "http", doc = "```")]
//!
//! A **supervisor** is a group of **services**, a service is a group of **connections**, and all of
//! them are tasks on one single-threaded executor: dropping it ends everything in it.
//!
//! ```text
//! signal ──► Supervisor ──close──► Shutdown (every clone wakes at once)
//!                                     ├─ service 1: accept loop ends ─► connections finish ─┐
//!                                     ├─ service 2: accept loop ends ─► connections finish ─┤─► Report ─► exit code
//!                                     └─ grace period ends, or a second signal ─► all dropped ─┘
//! ```
//!
//! # Where things are
//!
//! | file | what lives there |
//! |---|---|
//! | `supervisor.rs` | [`Supervisor`]: starts services, notices the first cause, drives the drain |
//! | `service.rs` | the [`Service`] trait and the [`Context`] a service is handed |
//! | `shutdown.rs` | [`Trigger`] and [`Shutdown`]: a channel that is only ever closed |
//! | `group.rs` | tasks that live and die together; waits by counting |
//! | `connection.rs` | [`Connection`] and its [`State`]; the register the supervisor reads |
//! | `server.rs` | [`Server`]: the one accept loop; back-off, limits |
//! | `per_peer.rs` | how many connections each peer has open, where that is limited |
//! | `net.rs` | [`Listener`] and [`Stream`], and TCP |
//! | `clock.rs` | [`Clock`]: now and sleep, injected |
//! | `report.rs` | [`Report`], [`Outcome`], [`Cause`], exit status |
//! | `signal.rs`, `handler.rs` | the process: signals as a stream, the second signal, the watchdog, [`exit`] |
//! | `http/` | HTTP/1.1 with async-h1 behind a guard (feature `http`) |
//! | `timeline.rs` | [`Report::timeline`]: the drain as a picture |
//! | `testing.rs` | `testing`: a clock and a network moved by hand (feature `testing`) |
//!
//! The library reads no environment and has no globals; signals, time and listeners are parameters. Only
//! [`signals`] touches the process, and only its handler ends it. It runs on Unix.

#![deny(clippy::unwrap_used)]

mod clock;
mod connection;
mod error;
mod group;
#[cfg(feature = "grpc")]
pub mod grpc;
mod handler;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "hyper")]
pub mod hyper;
mod net;
mod per_peer;
mod report;
mod server;
mod service;
mod shutdown;
mod signal;
mod supervisor;
mod tcp;
#[cfg(feature = "testing")]
pub mod testing;
mod timeline;

#[cfg(feature = "hyper")]
pub use self::hyper::Hyper;
pub use clock::{Clock, Sleep, SystemClock};
pub use connection::{Connection, State};
pub use error::{BoxError, Error};
#[cfg(feature = "grpc")]
pub use grpc::Grpc;
#[cfg(feature = "http")]
pub use http::Http;
pub use net::{
    Listener, Peer, SocketListener, SocketStream, Stream, TcpListener, TcpStream, UnixListener,
    UnixStream,
};
pub use report::{Cause, Counts, Outcome, Report, ServiceReport, Snapshot, Straggler};
pub use server::{Protocol, Server};
pub use service::{Context, Service};
pub use shutdown::{Shutdown, Trigger, shutdown};
pub use signal::{Signal, SignalSource, Signals, exit, signals};
pub use supervisor::{GRACE, Supervisor};
pub use tcp::Tcp;
