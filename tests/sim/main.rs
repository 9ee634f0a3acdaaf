//! Simulation: thousands of runs that cannot happen twice, each decided by its seed.
//!
//! A seed decides the services, their clients, what handlers do, how every read and write is split,
//! what fails, and when shutdown begins (`plan.rs`, `net.rs`). One executor, a manual clock that jumps
//! from one sleep to the next, and an in-memory network make of it one run (`run.rs`). What clients
//! and handlers see is noted (`world.rs`, `client.rs`, `server.rs`) and judged, at every instant
//! (`watch.rs`, `phases.rs`, `life.rs`) and at the end (`judge.rs`, `talk.rs`, `accounts.rs`,
//! `restarts.rs`). Clients that speak HTTP/2, gRPC's among them, are in `http2/`.
//!
//! Which engines take part is decided by the features (`engines.rs`): a seed is replayed with those that it
//! has failed with.
//!
//! ```text
//! cargo test --test sim                        2,000 seeds, `Http` alone
//! cargo test --test sim --all-features         2,000 seeds, every engine
//! cargo test --test sim -- --seeds 100000      more of them
//! cargo test --test sim -- --seed 42           one, with its plan and its story
//! ```

mod accounts;
mod client;
mod client_plan;
mod content;
mod engines;
#[cfg_attr(not(feature = "hyper"), path = "no_http2.rs")]
mod http2;
mod job;
mod judge;
mod life;
mod memory;
mod net;
#[cfg(feature = "grpc")]
mod on_grpc;
mod on_http;
#[cfg(feature = "hyper")]
mod on_hyper;
mod phases;
mod plan;
#[path = "../common/reader.rs"]
#[allow(dead_code)]
mod reader;
mod restarts;
mod run;
mod server;
mod talk;
mod watch;
mod world;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

/// The one test, as far as `cargo test` is concerned.
const NAME: &str = "simulation";

/// Every so many seeds one is run twice, and must be the same.
const TWICE: u64 = 50;

fn main() -> ExitCode {
    // After ten failures there is nothing more to learn.
    let (mut seeds, mut enough) = (2_000, 10);
    let mut one = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|value| value.parse().ok());
        let wanted = match argument.as_str() {
            "--seeds" => &mut seeds,
            "--enough" => &mut enough,
            "--seed" => one.insert(0),
            "--list" => {
                println!("{NAME}: test");
                return ExitCode::SUCCESS;
            }
            // Options of the usual harness mean nothing here; a filter may be for other tests.
            filter if filter.starts_with('-') || NAME.contains(filter) => continue,
            _ => {
                seeds = 0;
                continue;
            }
        };
        let Some(number) = number() else {
            eprintln!("usage: cargo test --test sim -- [--seeds NUMBER | --seed SEED]");
            return ExitCode::from(2);
        };
        *wanted = number;
    }
    // Panics are part of the plan.
    std::panic::set_hook(Box::new(|panic| {
        if panic.payload().downcast_ref() != Some(&"simulated panic") {
            eprintln!("{panic}");
        }
    }));
    let failed = match one {
        Some(seed) => u64::from(!holds(seed, true)),
        None => many(seeds, enough),
    };
    ExitCode::from(u8::from(failed > 0))
}

/// Runs the seeds from 0 on all cores until so many have failed, and tells how many have.
fn many(seeds: u64, enough: u64) -> u64 {
    let began = Instant::now();
    let (next, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        while failed.load(Ordering::Relaxed) < enough {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                break;
            }
            if !holds(seed, false) {
                failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner();
    let passed = next.into_inner().min(seeds) - failed;
    println!("{NAME}: engines: {:?}", engines::ENGINES);
    println!("{NAME}: {seeds} seeds in {:.1} s", began.elapsed().as_secs_f64());
    println!("{passed} passed, {failed} failed");
    failed
}

/// Whether two runs of a seed are the same. Over HTTP/2 the length of an answer that the server gives by itself
/// depends on the second that it tells, so another second may be between them, but not three times.
fn goes_the_same_twice(seed: u64) -> bool {
    (0..3).any(|_| {
        let hashes = [0, 1].map(|_| run::run(seed, false).hash);
        hashes[0] == hashes[1]
    })
}

/// Whether all invariants hold for this seed; if not, what to run to see it.
fn holds(seed: u64, verbose: bool) -> bool {
    let result = std::panic::catch_unwind(|| {
        let before = memory::held();
        let outcome = run::run(seed, verbose);
        let held = memory::held() - before;
        let mut violations = outcome.violations;
        // What a thread keeps, it keeps once; what a run leaves behind, it leaves every time.
        if violations.is_empty() && held != 0 {
            let before = memory::held();
            drop(run::run(seed, false));
            if memory::held() != before {
                violations.push(format!("{held} bytes of memory are left"));
            }
        }
        if seed % TWICE == 0 && !goes_the_same_twice(seed) {
            violations.push("a second run of this seed went differently".to_owned());
        }
        violations
    });
    let violations = result.unwrap_or_else(|_| vec!["it panicked".to_owned()]);
    if !violations.is_empty() {
        let violations = violations.join("\n  ");
        println!("seed {seed}:\n  {violations}\n  cargo test --test sim -- --seed {seed}");
    }
    violations.is_empty()
}
