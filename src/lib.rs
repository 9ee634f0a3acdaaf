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
//! The library reads no environment and has no globals; signals, time and listeners are parameters. Only
//! [`signals`] touches the process, and only its handler ends it. It runs on Unix.

#![deny(clippy::unwrap_used)]

#[cfg(feature = "admin")]
mod admin;
mod clock;
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
mod sys;
#[cfg(feature = "systemd")]
pub mod systemd;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(any(feature = "http", feature = "hyper"))]
mod web;
mod words;

#[cfg(feature = "hyper")]
pub use self::hyper::Hyper;
#[cfg(feature = "admin")]
pub use admin::Admin;
pub use clock::{Clock, Sleep, SystemClock};
pub use error::{BoxError, Error};
#[cfg(feature = "grpc")]
pub use grpc::Grpc;
#[cfg(feature = "http")]
pub use http::Http;
pub use net::{
    Listener, Peer, SocketListener, SocketStream, Stream, TcpListener, TcpStream, UnixListener,
    UnixStream,
};
pub use process::{Signal, SignalSource, Signals, Terms, exit, signals};
pub use register::{ConnectionStatus, Counts, Latency, OpenByState, State, Waiting};
pub use report::{Cause, ExitCodes, Outcome, Report, ServiceReport, Straggler};
pub use server::{Connection, Protocol, Server, Tcp};
pub use service::{Context, Service};
pub use shutdown::{GRACE, Phase, Shutdown, Trigger, shutdown};
pub use slot::ServiceStatus;
pub use status::Status;
pub use supervisor::Supervisor;
