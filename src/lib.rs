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
//! | `supervisor.rs` | [`Supervisor`]: what is to be run, and how it is to end |
//! | `run.rs` | the run: starts services, notices the first cause, drives the drain |
//! | `service.rs` | the [`Service`] trait and the [`Context`] a service is handed |
//! | `shutdown.rs` | [`Trigger`] and [`Shutdown`]: a channel that is only ever closed |
//! | `group.rs` | tasks that live and die together; waits by counting |
//! | `connection.rs`, `register.rs` | [`Connection`] and its [`State`]; the register the supervisor reads |
//! | `counts.rs` | [`Counts`]: what a service has done |
//! | `status.rs` | [`Status`]: the run as its services can look at it |
//! | `server.rs` | [`Server`]: the one accept loop; back-off, limits |
//! | `serving.rs` | the task of one connection: how it ended, a panic contained |
//! | `linger.rs` | the end of a connection: its last bytes are not overtaken by a reset |
//! | `per_peer.rs` | how many connections each peer has open, where that is limited |
//! | `printable.rs` | text from the network, made fit for terminals and logs |
//! | `net/` | [`Listener`] and [`Stream`]; TCP and Unix sockets, [`SocketListener`] for either |
//! | `clock.rs` | [`Clock`]: now and sleep, injected |
//! | `report.rs` | [`Report`], [`Outcome`], [`Cause`], exit status |
//! | `tcp.rs` | [`Tcp`]: bytes as they come, to a handler |
//! | `newcomer.rs` | a moment for the first byte of whoever has just connected |
//! | `http/` | HTTP/1.1 with async-h1 behind a guard (feature `http`) |
//! | `hyper/` | any hyper, tower or axum service, over HTTP/1.1 and HTTP/2 (feature `hyper`) |
//! | `grpc/` | tonic's services and their health, on top of that (feature `grpc`) |
//! | `signal.rs`, `handler.rs`, `exit.rs` | the process: signals as a stream, the second signal, the watchdog, [`exit`] |
//! | `sys.rs` | all unsafe code: system calls without a safe wrapper |
//! | `admin/` | `Admin`: probes, metrics and a page (feature `admin`) |
//! | `timeline.rs` | [`Report::timeline`]: the drain as a picture |
//! | `systemd.rs` | `systemd`: readiness, watchdog, sockets handed over (feature `systemd`) |
//! | `testing/` | `testing`: a clock and a network moved by hand (feature `testing`) |
//!
//! The library reads no environment and has no globals; signals, time and listeners are parameters. Only
//! [`signals`] touches the process, and only its handler ends it. It runs on Unix.

#![deny(clippy::unwrap_used)]

#[cfg(feature = "admin")]
mod admin;
mod clock;
mod connection;
mod counts;
mod error;
mod exit;
mod group;
#[cfg(feature = "grpc")]
pub mod grpc;
mod handler;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "hyper")]
pub mod hyper;
mod linger;
mod net;
#[cfg(any(feature = "http", feature = "hyper"))]
mod newcomer;
mod per_peer;
mod printable;
mod register;
mod report;
mod run;
mod server;
mod service;
mod serving;
mod shutdown;
mod signal;
mod status;
mod supervisor;
mod sys;
#[cfg(feature = "systemd")]
pub mod systemd;
mod tcp;
#[cfg(feature = "testing")]
pub mod testing;
mod timeline;

#[cfg(feature = "hyper")]
pub use self::hyper::Hyper;
#[cfg(feature = "admin")]
pub use admin::Admin;
pub use clock::{Clock, Sleep, SystemClock};
pub use connection::{Connection, State, Waiting};
pub use counts::{Counts, Latency};
pub use error::{BoxError, Error};
pub use exit::{ExitCodes, exit, exit_with};
#[cfg(feature = "grpc")]
pub use grpc::Grpc;
#[cfg(feature = "http")]
pub use http::Http;
pub use net::{
    Listener, Peer, SocketListener, SocketStream, Stream, TcpListener, TcpStream, UnixListener,
    UnixStream,
};
pub use report::{Cause, Outcome, Report, ServiceReport, Snapshot, Straggler};
pub use server::{Protocol, Server};
pub use service::{Context, Service};
pub use shutdown::{Shutdown, Trigger, shutdown};
pub use signal::{Signal, SignalSource, Signals, signals};
pub use status::{Phase, ServiceStatus, Status};
pub use supervisor::{GRACE, Supervisor};
pub use tcp::Tcp;
