//! The last word at the deadline: who has no part of an answer yet is told that there will be none.

use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use adieu::http::http_types::{Body, Request, Response, Result};
use adieu::http::{Exchange, Http};
use adieu::testing::{Network, memory};
use adieu::{Outcome, Report, Server, Signal};
use futures_lite::AsyncRead;
use futures_lite::io::BufReader;

use crate::ends::{Client, End, SECOND, serve as serve_over_tcp};
use crate::reader::{Answer, answers};
use crate::rig::{GET, Rig, ask};
use crate::web::{get, post};

const GRACE: Duration = Duration::from_secs(4);

fn http() -> Http {
    Http::new(|mut request: Request| async move {
        match request.url().path() {
            "/never" => pending().await,
            "/upload" => request.body_bytes().await?,
            "/begun" => {
                let body = BufReader::new(Endless::default());
                return Ok(Body::from_reader(body, None).into());
            }
            _ => Vec::new(),
        };
        Result::Ok(Response::from("hello"))
    })
}

/// Has a word, and then nothing and no end.
#[derive(Default)]
struct Endless {
    said: bool,
}

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if std::mem::replace(&mut self.said, true) {
            return Poll::Pending;
        }
        buf[0] = b'.';
        Poll::Ready(Ok(1))
    }
}

fn serve() -> (Rig, Network) {
    serve_by(http())
}

fn serve_by(http: Http) -> (Rig, Network) {
    let (listener, network) = memory();
    (Rig::start(|s| s.service("web", Server::new(listener, http)).grace(GRACE)), network)
}

/// What a client has received at the deadline that has sent this, and what the report says.
fn at_the_deadline(request: &[u8]) -> (Vec<Answer>, bool, Report) {
    let (rig, network) = serve();
    let client = ask(&rig, &network, request);
    rig.signal(Signal::Term);
    rig.pass(GRACE);
    let received = client.received();
    let to_head = request.starts_with(b"HEAD");
    let seen = answers(&received, |_| to_head).expect("well-formed");
    (seen, client.is_reset(), rig.report())
}

fn assert_cut_off(report: &Report) {
    assert_eq!(report.exit_status(), 124, "{report}");
    assert!(matches!(report.services[0].outcome, Outcome::CutOff));
    assert_eq!(report.services[0].counts.cut_off, 1);
    assert!(report.stragglers[0].connection.is_some(), "{report}");
}

#[test]
fn a_request_without_an_answer_at_the_deadline_is_told_so_and_may_come_again() {
    let head = "HEAD /never HTTP/1.1\r\nHost: test\r\n\r\n";
    let old = "GET /never HTTP/1.0\r\n\r\n";
    let requests = [
        get("/never", ""),
        get("/never", "Connection: close\r\n"),
        post("/never", "", "body"),
        post("/upload", "", "body").replace("Length: 4", "Length: 5"),
        post("/never", "Expect: 100-continue\r\n", ""),
        head.to_owned(),
        old.to_owned(),
    ];
    for request in requests {
        let (seen, is_reset, report) = at_the_deadline(request.as_bytes());
        assert_eq!(seen.len(), 1, "{request}: {seen:?}");
        let answer = &seen[0];
        assert!(answer.status == 503 && answer.complete, "{request}: {seen:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{request}");
        assert_eq!(answer.header("retry-after"), Some("1"), "{request}");
        assert!(answer.header("date").is_some() && answer.header("content-length").is_some());
        assert_eq!(answer.body.is_empty(), request.starts_with("HEAD"), "{request}");
        assert!(!is_reset, "{request}");
        assert_cut_off(&report);
        assert_eq!(report.services[0].counts.statuses[4], 1, "{request}");
    }
}

#[test]
fn whoever_has_part_of_an_answer_or_has_asked_for_nothing_hears_nothing_more() {
    let begun = get("/begun", "");
    let (seen, _, report) = at_the_deadline(begun.as_bytes());
    assert!(seen.len() == 1 && seen[0].status == 200 && !seen[0].complete, "{seen:?}");
    assert_cut_off(&report);
    // With more time it would be refused.
    let (rig, network) = serve();
    let client = ask(&rig, &network, b"GET / HT");
    rig.signal(Signal::Quit);
    assert_eq!(client.received(), b"");
    assert!(client.is_gone());
    assert_eq!(rig.report().services[0].counts.cut_off, 1);
}

#[test]
fn the_answers_before_it_in_the_pipeline_go_out_first_and_nothing_comes_after_it() {
    let pipeline = [GET, GET, get("/never", "").as_bytes(), GET].concat();
    let (seen, is_reset, report) = at_the_deadline(&pipeline);
    let statuses: Vec<_> = seen.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 503]);
    assert!(!is_reset);
    assert_cut_off(&report);
    assert_eq!(report.services[0].counts.requests, 3);
}

#[test]
fn every_client_is_told() {
    let (rig, network) = serve();
    let never = get("/never", "");
    let clients: Vec<_> = (0..50).map(|_| ask(&rig, &network, never.as_bytes())).collect();
    rig.signal(Signal::Term);
    rig.pass(GRACE);
    for client in &clients {
        assert!(client.text().starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
        assert!(client.is_closed() && !client.is_reset());
    }
    let report = rig.report();
    assert_eq!((report.exit_status(), report.stragglers.len()), (124, 50));
}

#[test]
fn in_the_last_turn_no_handler_is_asked_again() {
    // It is ready once there is no time left, but nobody wakes it for that.
    let http = Http::new(|_: Request, exchange: Exchange| async move {
        poll_fn(|_| match exchange.time_left() {
            Some(Duration::ZERO) => Poll::Ready(()),
            _ => Poll::Pending,
        })
        .await;
        Result::Ok(Response::from("hello"))
    });
    let (rig, network) = serve_by(http);
    let client = ask(&rig, &network, GET);
    rig.signal(Signal::Term);
    rig.pass(GRACE);
    assert!(client.text().starts_with("HTTP/1.1 503"));
    assert_cut_off(&rig.report());
}

#[test]
fn nobody_waits_for_a_client_that_takes_nothing() {
    let (rig, network) = serve();
    let client = network.connect_with_capacity(200).expect("it listens");
    client.send(&[GET, get("/never", "").as_bytes()].concat());
    rig.settle();
    rig.signal(Signal::Term);
    rig.pass(GRACE);
    // The first answer fits, and of the last word what has room behind it.
    let received = client.text();
    assert!(received.starts_with("HTTP/1.1 200") && received.len() == 200, "{received}");
    assert!(received.contains("HTTP/1.1 503"));
    assert_cut_off(&rig.report());
}

#[test]
fn the_last_word_reaches_a_client_over_tcp_that_has_sent_more_than_was_read() {
    let ((taken, end), report) = serve_over_tcp(http(), async |mut client: Client| {
        client.send(&(get("/never", "") + &get("/", "").repeat(2000))).await;
        client.pass(Duration::ZERO).await;
        client.signal();
        client.pass(Duration::ZERO).await;
        client.pass(11 * SECOND).await;
        let mut taken = Vec::new();
        let end = client.takes(1 << 20, &mut taken).await;
        (taken, end)
    });
    let answer = &answers(&taken, |_| false).expect("well-formed")[0];
    assert!(answer.status == 503 && answer.complete, "{answer:?}");
    assert_eq!(end, Some(End::Clean));
    assert_eq!(report.exit_status(), 124);
}
