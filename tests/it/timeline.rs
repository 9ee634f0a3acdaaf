//! The drain as a picture.

use std::time::Duration;

use adieu::http::Exchange;
use adieu::http::Http;
use adieu::http::http_types::{Request, Response, Result};
use adieu::testing::{MemoryStream, Network, memory, settle};
use adieu::{Report, Server, Signal};

use crate::rig::Rig;

/// Takes as many milliseconds as the path says.
async fn handler(request: Request, exchange: Exchange) -> Result<Response> {
    let millis = request.url().path().trim_start_matches('/').parse().unwrap_or(0);
    exchange.sleep(Duration::from_millis(millis)).await;
    Ok("hello".into())
}

/// A drain in which connections were busy for so many milliseconds, and the others idle.
fn drained(busy: &[u64], idle: usize, grace: Duration) -> Report {
    let (listener, network) = memory();
    let server = Server::new(listener, Http::new(handler));
    let rig = Rig::start(|s| s.service("web", server).grace(grace));
    let client = |bytes: &[u8]| -> MemoryStream {
        let client = Network::connect(&network).unwrap();
        client.send(bytes);
        client
    };
    let get = |millis: u64| format!("GET /{millis} HTTP/1.1\r\nHost: test\r\n\r\n");
    let idle: Vec<_> = (0..idle).map(|_| client(b"")).collect();
    let busy: Vec<_> = busy.iter().map(|millis| client(get(*millis).as_bytes())).collect();
    settle(&rig.executor);
    rig.pass(Duration::from_millis(500));
    // One more waits in the accept queue.
    rig.send(Signal::Term);
    let late = client(get(300).as_bytes());
    settle(&rig.executor);
    rig.pass(grace);
    drop((idle, busy, late));
    rig.report()
}

/// Keeps the picture where somebody can look at it: in the directory named by this variable.
fn keep(name: &str, svg: &str) {
    if let Some(directory) = std::env::var_os("ADIEU_PICTURES") {
        std::fs::write(std::path::Path::new(&directory).join(name), svg)
            .expect("it can be written");
    }
}

#[test]
fn each_connection_is_a_bar_that_tells_what_became_of_it() {
    let svg = drained(&[1200, 2500, 60_000], 2, Duration::from_secs(3)).timeline();
    keep("few.svg", &svg);
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert!(svg.contains("shut down by SIGTERM in 3.0 s: 3 drained, 2 closed idle, 1 cut off"));
    for label in ["client 1 new<", "client 3 active<", "client 6 later<", "deadline<"] {
        assert!(svg.contains(label), "{label}: {svg}");
    }
    assert!(svg.contains("client 5 active, cut off, GET /60000<"), "{svg}");
}

#[test]
fn a_hundred_connections_are_a_hundred_bars() {
    let busy: Vec<u64> = (0..79).map(|i| 600 + i * 37).collect();
    let svg = drained(&busy, 20, Duration::from_secs(4)).timeline();
    keep("hundred.svg", &svg);
    assert_eq!(svg.matches(">client ").count(), 100);
}

#[test]
fn thousands_of_connections_are_folded_into_a_hundred_bars_at_most() {
    let busy: Vec<u64> = (0..2000).map(|i| 600 + i * i % 4001).collect();
    let svg = drained(&busy, 3000, Duration::from_secs(4)).timeline();
    keep("thousands.svg", &svg);
    assert!(svg.contains("web: 5001 connections<"), "{svg}");
    assert!(svg.contains(">3000 idle<"), "{svg}");
    assert!(svg.matches("font-size=\"11\"").count() < 130);
    assert!(svg.len() < 60_000, "{} bytes", svg.len());
}

#[test]
fn a_drain_with_nothing_to_do_is_drawn_too() {
    let rig =
        Rig::start(|s| s.service("a <b> & c", |_cx| std::future::pending::<std::io::Result<()>>()));
    rig.signal(Signal::Int);
    rig.pass(Duration::from_secs(10));
    let svg = rig.report().timeline();
    keep("nothing.svg", &svg);
    assert!(svg.contains("a &lt;b&gt; &amp; c: 0 connections<"), "{svg}");
}
