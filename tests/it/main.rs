//! The integration tests: one binary, so that the library is linked once.
//!
//! They step a [`smol::LocalExecutor`], a manual clock and an in-memory network; nothing sleeps.
//! What is global to a process (real signals, the logger, descriptors) is in `tests/process.rs`.

mod accept;
#[cfg(feature = "admin")]
mod admin;
#[cfg(feature = "http")]
mod age;
#[cfg(feature = "http")]
mod answers;
mod blocked;
#[path = "../child/bound.rs"]
mod bound;
mod bounds;
#[cfg(feature = "http")]
mod buffered;
#[cfg(any(feature = "http", feature = "hyper"))]
mod choices;
mod clients;
#[cfg(feature = "http")]
mod destination;
#[path = "../child/directory.rs"]
mod directory;
#[cfg(feature = "http")]
mod drain;
#[cfg(feature = "http")]
mod ends;
#[cfg(feature = "http")]
mod events;
mod floors;
#[cfg(feature = "http")]
mod fuzz_quick;
#[cfg(feature = "http")]
mod gone;
#[cfg(feature = "grpc")]
mod grpc;
#[cfg(feature = "http")]
mod guard;
#[cfg(feature = "hyper")]
mod h2;
#[cfg(feature = "hyper")]
mod http2;
#[cfg(feature = "hyper")]
mod hyper;
#[cfg(feature = "hyper")]
mod hyper_body;
#[cfg(feature = "hyper")]
mod hyper_clients;
#[cfg(all(feature = "http", feature = "hyper"))]
mod hyper_ends;
#[cfg(feature = "hyper")]
mod hyper_heads;
#[cfg(feature = "hyper")]
mod hyper_hostile;
#[cfg(feature = "hyper")]
mod hyper_rules;
#[cfg(feature = "hyper")]
mod hyper_seeds;
#[cfg(feature = "hyper")]
mod hyper_slow;
#[cfg(all(feature = "http", feature = "hyper"))]
mod hyper_sockets;
mod idle;
#[cfg(feature = "http")]
mod lame_duck;
#[cfg(feature = "http")]
mod last_word;
#[cfg(feature = "http")]
mod limits;
mod main_service;
mod no_time;
mod package;
mod promises;
#[cfg(feature = "http")]
mod properties;
#[cfg(feature = "hyper")]
mod properties_h2;
mod proxy;
#[cfg(feature = "http")]
mod proxy_engines;
mod proxy_headers;
#[cfg(feature = "http")]
#[path = "../common/reader.rs"]
mod reader;
mod readiness;
mod readme;
mod reload;
mod restart;
mod rig;
#[cfg(all(feature = "http", feature = "hyper"))]
mod slow_clients;
mod stages;
#[cfg(feature = "http")]
mod strictness;
mod supervisor;
#[cfg(all(feature = "http", feature = "grpc"))]
mod table;
mod tasks;
mod tcp;
#[cfg(feature = "http")]
mod testing_kit;
#[cfg(feature = "http")]
mod timeline;
#[path = "../child/tools.rs"]
mod tools;
mod unix;
#[cfg(feature = "http")]
mod upgrade;
#[cfg(feature = "http")]
mod web;
mod weight;
mod words;
