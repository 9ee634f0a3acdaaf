//! What the log says of turns that block the thread. It has a process of its own, because the logger is
//! the process's. The time passes inside of the turn, by the clock that the test moves.
#![cfg(all(feature = "http", feature = "hyper"))]

#[path = "child/bound.rs"]
mod bound;
#[path = "it/h2.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod h2;
#[path = "it/rig.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod rig;

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

use adieu::http::http_types;
use adieu::hyper::hyper::service::service_fn;
use adieu::hyper::hyper::{Request, Response};
use adieu::hyper::{Exchange, Hyper, RequestBody};
use adieu::testing::{ManualClock, MemoryListener, MemoryStream, memory, settle};
use adieu::{Connection, Context, Http, Server, Service, Tcp};
use futures_lite::future;
use log::{LevelFilter, Log, Metadata, Record};

use rig::Rig;

const MOMENT: Duration = Duration::from_millis(1_200);

/// Keeps every line that says who has blocked the thread.
struct Kept(Mutex<Vec<String>>);

static KEPT: Kept = Kept(Mutex::new(Vec::new()));

impl Log for Kept {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "adieu"
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{} {}", record.level(), record.args());
        if self.enabled(record.metadata()) && line.contains("blocked the thread") {
            self.0.lock().unwrap().push(line);
        }
    }

    fn flush(&self) {}
}

/// What was said since the last call.
fn said() -> Vec<String> {
    std::mem::take(&mut *KEPT.0.lock().unwrap())
}

fn over_http(listener: MemoryListener, clock: ManualClock) -> impl Service {
    let handler = move |request: http_types::Request, exchange: adieu::http::Exchange| {
        let clock = clock.clone();
        async move {
            if request.url().path() == "/later" {
                exchange.sleep(Duration::from_secs(1)).await;
            }
            clock.advance(MOMENT);
            Ok("well".into())
        }
    };
    Server::new(listener, Http::new(handler))
}

fn over_hyper(listener: MemoryListener, clock: ManualClock) -> impl Service {
    let service = service_fn(move |request: Request<RequestBody>| {
        let clock = clock.clone();
        async move {
            if request.uri().path() == "/later" {
                // Pending once, so that it is polled a second time.
                future::yield_now().await;
            }
            let _ = request.extensions().get::<Exchange>();
            clock.advance(MOMENT);
            Ok::<_, Infallible>(Response::new("well".to_owned()))
        }
    });
    Server::new(listener, Hyper::new(service))
}

/// What is said of a client's requests, by a server of that name.
fn asked<S: Service>(
    serve: impl FnOnce(MemoryListener, ManualClock) -> S,
    ask: impl FnOnce(&Rig, &adieu::testing::Network),
) -> Vec<String> {
    let clock = ManualClock::new();
    let (listener, network) = memory();
    let service = serve(listener, clock.clone());
    let rig = Rig::start_by(clock, |s| s.service("web", service));
    ask(&rig, &network);
    said()
}

/// Two clients whose requests are polled in turns.
fn two_clients(rig: &Rig, network: &adieu::testing::Network) {
    let clients = ["/later", "/now"].map(|path| {
        let client = network.connect().expect("it listens");
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
        client
    });
    settle(&rig.executor);
    rig.pass(Duration::from_secs(2));
    assert!(clients.iter().all(|client| client.received().ends_with(b"well")));
}

fn two_streams(rig: &Rig, network: &adieu::testing::Network) {
    let client = h2::Client::connect(network, 1 << 20);
    settle(&rig.executor);
    client.get(1, "/later");
    client.get(3, "/now");
    settle(&rig.executor);
}

// One test, for there is one logger.
#[test]
fn who_blocks_the_thread_is_named_by_service_and_request_on_every_engine() {
    log::set_logger(&KEPT).unwrap();
    log::set_max_level(LevelFilter::Info);

    let blocked = |what: &str| format!("WARN web: {what} blocked the thread for 1.2 s");
    let both = [blocked("GET /now"), blocked("GET /later")];
    for mut seen in [
        asked(over_http, two_clients),
        asked(over_hyper, two_clients),
        asked(over_hyper, two_streams),
    ] {
        seen.sort_by_key(|line| !line.contains("/now"));
        assert_eq!(seen, both);
    }

    let tcp = |listener, clock: ManualClock| {
        let handler = async move |_: &mut MemoryStream, _: &Connection| {
            clock.advance(MOMENT);
            Ok(())
        };
        Server::new(listener, Tcp::new(handler))
    };
    let connects = |rig: &Rig, network: &adieu::testing::Network| {
        let _client = network.connect().expect("it listens");
        settle(&rig.executor);
    };
    assert_eq!(asked(tcp, connects), ["WARN web blocked the thread for 1.2 s"]);

    let line = Rc::new(Cell::new(0));
    let noted = line.clone();
    let worker = |_, clock: ManualClock| {
        move |cx: Context| async move {
            let task = clock.clone();
            noted.set(line!() + 1);
            cx.spawn(async move { task.advance(MOMENT) });
            let task = clock.clone();
            cx.spawn_named("\u{202e}flush", async move { task.advance(MOMENT) });
            clock.advance(MOMENT);
            io::Result::Ok(())
        }
    };
    let seen = asked(worker, |_, _| {});
    let place = format!("{}:{}", file!(), line.get());
    assert_eq!(
        seen,
        [
            "WARN web blocked the thread for 1.2 s".to_owned(),
            format!("WARN web: task spawned at {place} blocked the thread for 1.2 s"),
            "WARN web: task \\u{202e}flush blocked the thread for 1.2 s".to_owned(),
        ]
    );
}
