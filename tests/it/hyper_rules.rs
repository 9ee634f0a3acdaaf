//! The rules that hold on `Http` hold on `Hyper`: half-closed clients, hosts, the end of a connection;
//! and GOAWAY in their place.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use adieu::hyper::hyper::service::service_fn;
use adieu::hyper::hyper::{Request, Response};
use adieu::hyper::{Exchange, Hyper, Limits, RequestBody};
use adieu::testing::{MemoryStream, Network, memory, settle};
use adieu::{Server, Signal, Stream};
use futures_lite::future;

use crate::h2::{self, Client, head};
use crate::rig::Rig;

const SECOND: Duration = Duration::from_secs(1);
const GET: &[u8] = b"GET /it HTTP/1.1\r\nHost: test\r\n\r\n";

/// A server whose handlers answer `/slow` when shutdown has begun, and everything else at once.
struct Ruled {
    rig: Rig,
    network: Network,
    /// Requests that came to the service, and handlers that have not ended.
    asked: Rc<Cell<usize>>,
    at_work: Rc<Cell<usize>>,
}

/// One handler at work, until it is dropped.
struct Work(Rc<Cell<usize>>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Ruled {
    fn start() -> Ruled {
        Ruled::within(Limits::default())
    }

    fn within(limits: Limits) -> Ruled {
        let (listener, network) = memory();
        let (asked, at_work) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (asked_too, working) = (asked.clone(), at_work.clone());
        let service = service_fn(move |request: Request<RequestBody>| {
            asked_too.set(asked_too.get() + 1);
            working.set(working.get() + 1);
            let work = Work(working.clone());
            async move {
                let exchange = request.extensions().get::<Exchange>().expect("each has one");
                if request.uri().path() == "/slow" {
                    exchange.shutdown().begun().await;
                    future::yield_now().await;
                }
                drop(work);
                Ok::<_, Infallible>(Response::new("answered".to_owned()))
            }
        });
        let server = Server::new(listener, Hyper::new(service)).limits(limits);
        let rig = Rig::start(|supervisor| supervisor.service("web", server));
        Ruled { rig, network, asked, at_work }
    }

    fn settle(&self) {
        settle(&self.rig.executor);
    }

    fn http1(&self, request: &[u8]) -> MemoryStream {
        let client = self.network.connect().expect("it listens");
        client.send(request);
        self.settle();
        client
    }

    fn http2(&self) -> Client {
        let client = Client::connect(&self.network, 1 << 20);
        self.settle();
        client
    }
}

fn received(client: &MemoryStream) -> String {
    String::from_utf8(client.received()).expect("it is text")
}

#[test]
fn a_client_that_has_closed_its_side_gets_its_answer() {
    let ruled = Ruled::start();
    let at_once = ruled.network.connect().expect("it listens");
    at_once.send(GET);
    at_once.half_close().expect("it is open");
    let posted = ruled.network.connect().expect("it listens");
    posted.send(b"POST /it HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody");
    posted.half_close().expect("it is open");
    ruled.settle();
    for client in [&at_once, &posted] {
        assert!(received(client).ends_with("\r\n\r\nanswered"));
        assert!(client.is_closed(), "it can ask no more");
    }
    let slow = ruled.http1(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
    slow.half_close().expect("it is open");
    ruled.rig.pass(SECOND);
    assert_eq!((received(&slow).as_str(), ruled.at_work.get()), ("", 1));
    // In the drain too.
    let later = ruled.http1(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
    ruled.rig.signal(Signal::Term);
    for client in [&slow, &later] {
        let answer = received(client);
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nanswered"), "{answer}");
    }
    drop((at_once, posted, slow, later));
    let report = ruled.rig.report();
    assert!(report.is_graceful(), "{report}");
    assert_eq!(report.services[0].counts.requests, 4);
}

#[test]
fn the_handler_of_a_client_that_has_reset_the_connection_is_dropped() {
    for is_http2 in [false, true] {
        let ruled = Ruled::start();
        let stream = match is_http2 {
            false => {
                let client = ruled.http1(GET);
                client.send(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
                client
            }
            true => {
                let client = ruled.http2();
                client.get(1, "/slow");
                client.stream
            }
        };
        ruled.settle();
        assert_eq!(ruled.at_work.get(), 1);
        drop(stream); // with bytes unread
        ruled.settle();
        assert_eq!(ruled.at_work.get(), 0);
        ruled.rig.signal(Signal::Term);
        assert!(ruled.rig.report().is_graceful());
    }
}

#[test]
fn a_pipelined_request_that_comes_while_the_first_is_answered_is_answered_too() {
    let ruled = Ruled::start();
    let client = ruled.http1(&GET.repeat(3));
    assert_eq!(received(&client).matches("HTTP/1.1 200 OK").count(), 3);
    // The head of one more begins to come while the handler is at work.
    client.send(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
    ruled.settle();
    client.send(&GET[..10]);
    ruled.settle();
    client.send(&GET[10..]);
    ruled.rig.signal(Signal::Term);
    let answers = received(&client);
    assert!(answers.starts_with("HTTP/1.1 200 OK"), "{answers}");
    drop(client);
    assert!(ruled.rig.report().is_graceful());
}

#[test]
fn what_is_not_for_one_host_is_refused_before_the_service_is_asked() {
    let ruled = Ruled::start();
    let refused = [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
    ];
    for request in refused {
        let client = ruled.http1(request.as_bytes());
        let answer = received(&client);
        assert!(
            answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.0 400 "),
            "{answer}"
        );
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert!(client.is_closed(), "{request}");
    }
    let mut client = ruled.http2();
    let fields =
        |name, value| [(":method", "GET"), (":scheme", "http"), (":path", "/"), (name, value)];
    client.request(1, true, &fields("x", "y"));
    client.request(3, true, &[&head("GET", "/")[..], &[("host", "other")]].concat());
    client.request(5, true, &[(":method", "CONNECT"), (":authority", "test:80")]);
    client.request(7, true, &fields("host", "test"));
    ruled.settle();
    let frames = client.frames();
    let heads: Vec<_> = frames.iter().filter(|it| it.kind == h2::HEADERS).collect();
    let statuses: Vec<_> = heads.iter().map(|it| (it.stream, it.status())).collect();
    assert_eq!(statuses[..1], [(1, 400)]);
    assert_eq!(statuses.iter().map(|it| it.0).collect::<Vec<_>>(), [1, 3, 5, 7]);
    assert_eq!((statuses[2].1, statuses[3].1), (405, 200));
    assert_eq!(ruled.asked.get(), 1);
}

#[test]
fn a_client_that_does_not_close_is_lingered_for_no_longer_than_on_the_other_engines() {
    let closed_after = |drains: bool, is_http2: bool| {
        let ruled = Ruled::start();
        let request = b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n";
        let (one, mut two) = (ruled.http1(request), ruled.http2());
        two.frames();
        match (drains, is_http2) {
            (true, _) => ruled.rig.signal(Signal::Term),
            // A request that is none, and a frame that is none.
            (false, false) => {}
            (false, true) => two.send(h2::DATA, 0, 0, b"to no stream"),
        }
        let one = if drains { one } else { ruled.http1(b"no request\r\n\r\n and more") };
        ruled.settle();
        two.frames();
        ruled.settle();
        let client = if is_http2 { &two.stream } else { &one };
        assert!(client.is_closed() && !client.is_gone());
        let mut waited = Duration::ZERO;
        while !client.is_gone() && waited < SECOND {
            ruled.rig.pass(Duration::from_millis(50));
            waited += Duration::from_millis(50);
        }
        waited
    };
    for is_http2 in [false, true] {
        assert_eq!(closed_after(true, is_http2), Duration::from_millis(100));
        assert_eq!(closed_after(false, is_http2), Duration::from_millis(500));
    }
}

#[test]
fn http2_clients_are_told_to_go_away_and_what_comes_later_is_safe_to_retry() {
    let ruled = Ruled::start();
    let mut client = ruled.http2();
    client.get(1, "/slow");
    ruled.settle();
    client.frames();
    ruled.rig.signal(Signal::Term);
    // It is announced first, so that what is on its way is still served.
    let frames = client.frames_unanswered();
    let goodbye = frames.iter().find(|it| it.kind == h2::GOAWAY).expect("it is told");
    assert_eq!((goodbye.last_stream(), goodbye.error()), (u32::MAX >> 1, h2::NO_ERROR));
    let ping = frames.iter().find(|it| it.kind == h2::PING).expect("it is asked").payload.clone();
    client.get(3, "/it");
    client.send(h2::PING, h2::ACK, 0, &ping);
    client.get(5, "/it");
    ruled.settle();
    let frames = client.frames();
    assert!(frames.iter().any(|it| it.stream == 3 && it.ends_stream()));
    assert!(frames.iter().all(|it| it.stream != 5), "{frames:?}");
    let goodbye = frames.iter().find(|it| it.kind == h2::GOAWAY).expect("it is told");
    assert_eq!((goodbye.last_stream(), goodbye.error()), (3, h2::NO_ERROR));
    drop(client);
    let report = ruled.rig.report();
    assert!(report.is_graceful(), "{report}");
    assert_eq!(report.services[0].counts.requests, 2);
}

#[test]
fn an_idle_http2_connection_is_told_to_go_away_after_seventy_five_seconds() {
    let ruled = Ruled::start();
    let (mut polite, silent) = (ruled.http2(), ruled.http2());
    polite.get(1, "/it");
    ruled.settle();
    polite.frames();
    ruled.rig.pass(Duration::from_millis(75_200));
    assert!(polite.frames().iter().any(|it| it.kind == h2::GOAWAY));
    ruled.settle();
    assert!(polite.stream.is_closed());
    ruled.rig.pass(Duration::from_millis(1_500));
    assert!(!silent.stream.is_closed());
    ruled.rig.pass(Duration::from_millis(700));
    assert!(silent.stream.is_closed());
    // It has said so, and waits for the client to have read it.
    ruled.rig.pass(Duration::from_millis(500));
    assert!(silent.stream.is_gone());
}

#[test]
fn a_connection_has_as_many_requests_as_it_may_have() {
    let ruled = Ruled::within(Limits { requests: 2, ..Limits::default() });
    let one = ruled.http1(&GET.repeat(3));
    let answers = received(&one);
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2);
    assert_eq!(answers.matches("connection: close").count(), 1);
    assert!(one.is_closed());
    let mut two = ruled.http2();
    two.get(1, "/it");
    ruled.settle();
    assert!(two.frames().iter().all(|it| it.kind != h2::GOAWAY));
    two.get(3, "/it");
    ruled.settle();
    let frames = two.frames();
    assert!(frames.iter().any(|it| it.stream == 3 && it.ends_stream()));
    assert!(frames.iter().any(|it| it.kind == h2::GOAWAY));
    ruled.settle();
    assert!(two.stream.is_closed());
}

#[test]
fn a_request_that_is_answered_at_once_in_the_drain_counts_as_drained() {
    let ruled = Ruled::start();
    let (one, mut two) = (ruled.http1(GET), ruled.http2());
    received(&one);
    two.frames(); // acknowledges the settings
    ruled.settle();
    ruled.rig.send(Signal::Term);
    one.send(GET);
    two.get(1, "/it");
    ruled.settle();
    two.frames();
    ruled.settle();
    drop((one, two));
    let report = ruled.rig.report();
    let counts = &report.services[0].counts;
    assert_eq!((counts.requests, counts.drained, counts.closed_idle), (3, 2, 0));
}

#[test]
fn a_target_that_is_no_uri_or_a_host_that_a_parser_rewrites_is_refused() {
    let ruled = Ruled::start();
    for (target, host) in [
        ("/a\u{9b}31m\u{202e}b", "test"),
        ("/{a}", "test"),
        ("/%6", "test"),
        ("/x\\..\\admin", "test"),
        ("/", "0x7f.1"),
        ("/", "127.0.0.01"),
        ("/", "%65xample.com"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let one = ruled.http1(request.as_bytes());
        let answer = received(&one);
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{request}{answer}");
    }
    let mut two = ruled.http2();
    two.get(1, "/{a}");
    ruled.settle();
    let answer = two.frames().into_iter().find(|frame| frame.stream == 1).expect("an answer");
    assert_eq!((answer.status(), ruled.asked.get()), (400, 0));
}
