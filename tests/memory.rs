//! How much memory a client of the `hyper` feature can have the server hold. A test binary of its own,
//! for its allocator counts.
#![cfg(feature = "hyper")]

#[path = "child/bound.rs"]
mod bound;
#[path = "it/h2.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod h2;
#[path = "sim/memory.rs"]
mod memory;
#[path = "it/rig.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod rig;

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use adieu::Server;
use adieu::hyper::hyper::body::Body;
use adieu::hyper::hyper::service::service_fn;
use adieu::hyper::hyper::{Request, Response};
use adieu::hyper::{Exchange, Hyper, RequestBody};
use adieu::testing::{Network, settle};
use h2::Client;
use rig::Rig;

/// A server that reads `/late` bodies when shutdown has begun, and answers with 4 MB.
fn start() -> (Rig, Network) {
    let (listener, network) = adieu::testing::memory();
    let service = service_fn(|request: Request<RequestBody>| async {
        let exchange = request.extensions().get::<Exchange>().cloned().expect("each has one");
        if request.uri().path() == "/late" {
            exchange.shutdown().begun().await;
            let mut body = pin!(request.into_body());
            while poll_fn(|cx| body.as_mut().poll_frame(cx)).await.is_some() {}
        }
        Ok::<_, Infallible>(Response::new("x".repeat(4_000_000)))
    });
    let server = Server::new(listener, Hyper::new(service));
    (Rig::start(|supervisor| supervisor.service("web", server)), network)
}

/// What the thread holds more than `before`, in bytes.
fn more_than(before: isize) -> isize {
    memory::held() - before
}

#[test]
fn a_body_of_tiny_padded_frames_is_held_in_little_memory_and_given_back() {
    let (rig, network) = start();
    let mut client = Client::connect(&network, 1 << 20);
    settle(&rig.executor);
    client.frames();
    let before = memory::held();
    client.post(1, "/late");
    for number in 0..49_000 {
        client.padded(1, false, b"x");
        if number % 500 == 0 {
            settle(&rig.executor);
            client.frames();
        }
    }
    settle(&rig.executor);
    let held = more_than(before);
    assert!(held < 600_000, "{held} bytes for a body of 49,000");
    client.reset(1, h2::CANCEL);
    settle(&rig.executor);
    client.frames();
    let held = more_than(before);
    assert!(held < 400_000, "{held} bytes after the body is gone");
    drop(client);
    settle(&rig.executor);
    assert!(more_than(before) < 0, "the connection is gone, and what it began with too");
}

#[test]
fn forty_answers_of_four_megabytes_that_nobody_takes_are_never_held_at_once() {
    let (rig, network) = start();
    let mut client = Client::connect(&network, 0);
    settle(&rig.executor);
    client.frames();
    let before = memory::held();
    for number in 0..40 {
        client.get(2 * number + 1, "/it");
    }
    settle(&rig.executor);
    let held = more_than(before);
    assert!((4_000_000..4_500_000).contains(&held), "{held}");
    rig.pass(Duration::from_secs(31));
    client.frames();
    let held = more_than(before);
    assert!(held < 200_000, "{held} bytes after their time is over");
}
