//! What an HTTP server logs. It has a process of its own, because the logger is the process's.
#![cfg(feature = "http")]

use std::sync::Mutex;
use std::time::Duration;

use adieu::http::http_types::{Error, Request, Response, Result};
use adieu::http::{Exchange, Http};
use adieu::testing::Rig;
use adieu::{Connection, ProxyProtocol, Tcp};
use futures_lite::AsyncWriteExt;
use log::{LevelFilter, Log, Metadata, Record};

use crate::web::{Web, get, post_chunked};

#[path = "child/bound.rs"]
mod bound;
#[cfg(feature = "hyper")]
#[path = "it/h2.rs"]
#[allow(dead_code)]
mod h2;
#[path = "common/reader.rs"]
#[allow(dead_code)]
mod reader;
#[path = "it/rig.rs"]
#[allow(dead_code)]
mod rig;
#[path = "it/web.rs"]
#[allow(dead_code)]
mod web;

/// Keeps every line, as `target: message`.
struct Kept(Mutex<Vec<String>>);

static KEPT: Kept = Kept(Mutex::new(Vec::new()));

impl Log for Kept {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("adieu")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = format!("{} {}: {}", record.level(), record.target(), record.args());
            self.0.lock().unwrap().push(line);
        }
    }

    fn flush(&self) {}
}

/// The lines of one target since the last call.
fn lines(target: &str) -> Vec<String> {
    let kept = std::mem::take(&mut *KEPT.0.lock().unwrap());
    kept.into_iter().filter(|line| line.contains(&format!(" {target}: "))).collect()
}

async fn handler(mut request: Request, exchange: Exchange) -> Result<Response> {
    match request.url().path() {
        "/slow" => exchange.sleep(Duration::from_millis(1500)).await,
        "/fails" => return Err(Error::from_str(503, "no database")),
        "/refuses" => return Err(Error::from_str(404, "no such thing")),
        "/injects" => {
            let mut response = Response::new(200);
            response.insert_header("name", "a\r\nb");
            return Ok(response);
        }
        "/reads" => drop(request.body_bytes().await?),
        "/panics" => panic!("oh no"),
        _ => {}
    }
    Ok("hello".into())
}

// One test, for there is one logger.
#[test]
fn requests_are_logged_for_those_who_ask_and_what_went_wrong_for_all() {
    log::set_logger(&KEPT).unwrap();
    log::set_max_level(LevelFilter::Debug);
    let web = Web::serve(handler);
    let client = web.connect();

    client.send(get("/a?b=c", ""));
    client.send(get("/slow", ""));
    web.pass(Duration::from_millis(1500));
    client.send("GET  /\r\n");
    assert_eq!(
        lines("adieu::access"),
        [
            "DEBUG adieu::access: web client 1 \"GET /a?b=c\" 200 5 B 0.0ns",
            "DEBUG adieu::access: web client 1 \"GET /slow\" 200 5 B 1.5s",
            "DEBUG adieu::access: web client 1 \"-\" 400 23 B 0.0ns",
        ]
    );

    for (path, line) in [
        ("/fails", "ERROR adieu: web: the handler failed: no database"),
        ("/refuses", "DEBUG adieu: web: the handler refused: no such thing"),
        ("/panics", "ERROR adieu: web: the handler panicked: oh no"),
    ] {
        web.ask(get(path, ""));
        assert_eq!(lines("adieu"), [line]);
    }
    web.ask(post_chunked("/reads", "nonsense"));
    let told = lines("adieu");
    assert!(told.iter().all(|line| line.starts_with("DEBUG")), "the client's fault: {told:?}");
    web.ask(get("/injects", ""));
    assert_eq!(
        lines("adieu"),
        [
            "ERROR adieu: web: GET /injects: the answer cannot be sent: control characters in the value of name"
        ]
    );

    #[cfg(feature = "hyper")]
    over_http2_it_is_the_same();
    clients_behind_a_balancer_are_named();
    #[cfg(feature = "hyper")]
    hyper_logs_the_same();

    log::set_max_level(LevelFilter::Info);
    web.ask(get("/", ""));
    assert!(lines("adieu::access").is_empty(), "off by default");

    what_is_refused_is_said_once_a_second();
}

fn clients_behind_a_balancer_are_named() {
    let header = "PROXY TCP4 192.0.2.7 198.51.100.1 50312 443\r\n";
    let rig = Rig::serve("web", ProxyProtocol::new("unix".parse().unwrap(), Http::new(handler)));
    rig.ask(&[header.as_bytes(), get("/", "").as_ref()].concat());
    assert_eq!(
        lines("adieu::access"),
        ["DEBUG adieu::access: web 192.0.2.7:50312 \"GET /\" 200 5 B 0.0ns"]
    );

    // In the one turn in which it was learnt, the connection fails.
    let fails = async |stream: &mut adieu::testing::MemoryStream, _: &Connection| {
        stream.write_all(b"no").await?;
        Err(std::io::ErrorKind::InvalidData.into())
    };
    let rig = Rig::serve("tcp", ProxyProtocol::new("unix".parse().unwrap(), Tcp::new(fails)));
    lines("adieu");
    rig.ask(header.as_bytes());
    assert_eq!(
        lines("adieu"),
        [
            "DEBUG adieu: tcp: 192.0.2.7:50312 comes by way of client 1",
            "DEBUG adieu: tcp: 192.0.2.7:50312: invalid data",
        ]
    );
}

fn what_is_refused_is_said_once_a_second() {
    let rig = Rig::serve("web", ProxyProtocol::new("unix".parse().unwrap(), Http::new(handler)));
    lines("adieu");
    rig.ask(b"GET / HTTP/1.1\r\n");
    let line = |client, why| {
        format!("WARN adieu: web: refused: client {client} sent no PROXY header: {why}")
    };
    assert_eq!(lines("adieu"), [line(1, "it begins otherwise")]);
    for _ in 0..1000 {
        rig.ask(b"GET / HTTP/1.1\r\n");
    }
    assert_eq!(lines("adieu"), [""; 0]);
    rig.pass(Duration::from_secs(1));
    rig.ask(b"PROXY UDP4 192.0.2.7");
    assert_eq!(lines("adieu"), [line(1002, "the protocol is neither TCP4 nor TCP6 nor UNKNOWN")]);
}

#[cfg(feature = "hyper")]
fn hyper_logs_the_same() {
    use adieu::Signal;
    use adieu::hyper::hyper::service::service_fn;
    use adieu::hyper::{Hyper, RequestBody, hyper};

    let rig = Rig::serve_with(|supervisor, listener| {
        let hyper = Hyper::new(service_fn(async |request: hyper::Request<RequestBody>| {
            let exchange = request.extensions().get::<Exchange>().expect("each has one");
            match request.uri().path() {
                "/slow" => exchange.sleep(Duration::from_millis(1500)).await,
                "/never" => exchange.sleep(Duration::MAX).await,
                _ => {}
            }
            Ok::<_, std::convert::Infallible>(hyper::Response::new("hello".to_owned()))
        }));
        supervisor.service("web", adieu::Server::new(listener, hyper))
    });
    let client = rig.ask(get("/a?b=c", "").as_bytes());
    client.send(get("/slow", "").as_bytes());
    rig.settle();
    rig.pass(Duration::from_millis(1500));
    let (half, never) = (rig.ask(b"GET / HT"), rig.ask(get("/never", "").as_bytes()));
    rig.pass(Duration::from_secs(10));
    assert_eq!(
        lines("adieu::access"),
        [
            "DEBUG adieu::access: web client 1 \"GET /a?b=c\" 200 5 B 0.0ns",
            "DEBUG adieu::access: web client 1 \"GET /slow\" 200 5 B 1.5s",
            "DEBUG adieu::access: web client 2 \"-\" 408 0 B 10.0s",
        ]
    );
    let gone = rig.ask(get("/never", "").as_bytes());
    adieu::Stream::reset_on_close(&gone, true);
    drop(gone);
    rig.settle();
    assert_eq!(lines("adieu"), ["DEBUG adieu: web: client 4 is gone, GET /never was dropped"]);
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(10));
    let last_word = "DEBUG adieu::access: web client 3 \"GET /never\" 503 0 B 20.0s";
    assert_eq!(lines("adieu::access"), [last_word]);
    drop((client, half, never));
    rig.report();
}

#[cfg(feature = "hyper")]
fn over_http2_it_is_the_same() {
    use adieu::hyper::hyper::service::service_fn;
    use adieu::hyper::hyper::{Request, Response};
    use adieu::hyper::{Exchange, Hyper, RequestBody};

    let answer = async |request: Request<RequestBody>| {
        let exchange = request.extensions().get::<Exchange>().expect("each has one").clone();
        if request.uri().path() == "/slow" {
            exchange.sleep(Duration::from_millis(1500)).await;
        }
        Ok::<_, std::convert::Infallible>(Response::new("hello".to_owned()))
    };
    let rig = rig::Rig::serve("web", Hyper::new(service_fn(answer)));
    let client = h2::Client::connect(&rig.network, 1 << 16);
    lines("");
    for (stream, path) in [(1, "/a?b=c"), (3, "/slow"), (5, "/\u{9b}31m"), (7, "/slow")] {
        client.get(stream, path);
        rig.settle();
    }
    client.reset(7, h2::CANCEL);
    rig.pass(Duration::from_millis(1500));
    let kept = std::mem::take(&mut *KEPT.0.lock().unwrap());
    assert_eq!(
        kept,
        [
            "DEBUG adieu::access: web client 1 \"GET /a?b=c\" 200 5 B 0.0ns",
            "DEBUG adieu: web: client 1: refused with 400 Bad Request",
            "DEBUG adieu::access: web client 1 \"GET /\\u{9b}31m\" 400 0 B 0.0ns",
            "DEBUG adieu: web: client 1 is gone, GET /slow was dropped",
            "DEBUG adieu::access: web client 1 \"GET /slow\" 200 5 B 1.5s",
        ]
    );
}
