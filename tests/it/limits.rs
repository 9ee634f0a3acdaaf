//! Each limit with its default: what is within it is served, what is beyond it is told so.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use adieu::Server;
use adieu::http::http_types::{Body, Request, Response, Result};
use adieu::http::{Exchange, Http, Limits};
use adieu::testing::memory;
use futures_lite::io::BufReader;
use futures_lite::{AsyncRead, AsyncReadExt};

use crate::rig::Rig;
use crate::web::{Web, get, post, post_chunked};

/// Limits are kept to within this.
const SLACK: Duration = Duration::from_millis(100);

const SECOND: Duration = Duration::from_secs(1);

async fn echo(mut request: Request) -> Result<Response> {
    Ok(request.body_bytes().await?.into())
}

fn limited(limits: Limits) -> Web {
    Web::limited(echo, limits)
}

#[test]
fn the_defaults_are_what_the_documentation_says() {
    let limits = Limits::default();
    assert_eq!(limits.head_time, 10 * SECOND);
    assert_eq!(limits.body_time, 30 * SECOND);
    assert_eq!(limits.answer_time, 30 * SECOND);
    assert_eq!(limits.idle, 75 * SECOND);
    assert_eq!((limits.body_rate, limits.answer_rate), (240, 240));
    assert_eq!((limits.head_size, limits.headers), (8191, 127));
    assert_eq!((limits.body_size, limits.requests), (16 << 20, u64::MAX));
}

#[test]
fn a_connection_in_silence_is_closed_after_the_limit_of_its_state() {
    // So much of a body that its pace gives it time enough.
    let much = "x".repeat(7000);
    let body = post("/", "", &(much.clone() + "."));
    let chunk = post_chunked("/", &format!("2000\r\n{much}"));
    let table: [(&str, &str, Duration, Option<u16>); 6] = [
        ("new", "", 75 * SECOND, None),
        ("idle", &get("/", ""), 75 * SECOND, Some(200)),
        ("part of a head", "GET / HTTP", 10 * SECOND, Some(408)),
        ("all of a head but its end", "GET / HTTP/1.1\r\nHost: test\r\n", 10 * SECOND, Some(408)),
        ("part of a body", &body[..body.len() - 1], 30 * SECOND, Some(408)),
        ("part of a chunk", &chunk, 30 * SECOND, Some(408)),
    ];
    for (name, sent, limit, status) in table {
        let web = limited(Limits::default());
        let client = web.connect();
        client.send(sent);
        web.pass(limit - SLACK);
        assert!(!client.stream.is_closed(), "{name}: too early");
        web.pass(2 * SLACK);
        let seen = client.sees();
        assert!(seen.closed, "{name}: too late");
        assert_eq!(seen.statuses().last().copied(), status, "{name}");
        web.pass(SECOND);
        assert!(client.is_gone(), "{name}: left behind");
    }
}

#[test]
fn all_times_can_be_set() {
    let limits =
        Limits { head_time: SECOND, body_time: 2 * SECOND, idle: 3 * SECOND, ..Limits::default() };
    let body = post("/", "", "body");
    for (sent, limit) in [("GET", 1), (&body[..body.len() - 1], 2), (&get("/", ""), 3)] {
        let web = limited(limits.clone());
        let client = web.connect();
        client.send(sent);
        web.pass(limit * SECOND - SLACK);
        assert!(!client.stream.is_closed());
        web.pass(2 * SLACK);
        assert!(client.stream.is_closed());
    }
}

#[test]
fn a_head_that_trickles_gains_no_time_by_it() {
    let web = limited(Limits::default());
    let client = web.connect();
    for byte in b"GET / HTTP" {
        client.send([*byte]);
        assert!(!client.stream.is_closed());
        web.pass(SECOND);
    }
    web.pass(SLACK);
    assert_eq!(client.sees().one().status, 408);
}

#[test]
fn the_time_of_a_head_in_the_pipeline_begins_when_its_turn_comes() {
    let web = limited(Limits::default());
    let client = web.connect();
    client.send(get("/", "") + "GET / HT");
    web.pass(9 * SECOND);
    client.send("TP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.sees().statuses(), [200, 200]);
    web.pass(59 * SECOND);
    assert!(!client.stream.is_closed(), "idle now");
}

#[test]
fn a_body_that_moves_has_time() {
    let web = limited(Limits { body_rate: 0, ..Limits::default() });
    let client = web.connect();
    let request = post("/", "", "0123456789");
    let (head, body) = request.split_at(request.len() - 10);
    client.send(head);
    for byte in body.as_bytes() {
        web.pass(29 * SECOND);
        client.send([*byte]);
    }
    assert_eq!(client.sees().one().text(), "0123456789");
}

#[test]
fn a_body_that_drips_is_refused_when_it_has_had_its_five_seconds_and_those_of_its_bytes() {
    for (each_second, refused_after) in [(0, Some(5)), (1, Some(5)), (120, Some(9)), (240, None)] {
        for chunked in [false, true] {
            let case = format!("{each_second} bytes a second, chunked: {chunked}");
            let web = limited(Limits::default());
            let client = web.connect();
            let head = match chunked {
                true => post_chunked("/", "ffff\r\n"),
                false => post("/", "", "").replace("Length: 0", "Length: 65535"),
            };
            client.send(head);
            let mut seconds = 0;
            while !client.stream.is_closed() && seconds < 100 {
                web.pass(SECOND);
                if !client.stream.is_closed() {
                    client.send("x".repeat(each_second));
                }
                seconds += 1;
            }
            match refused_after {
                Some(limit) => {
                    assert!((limit..=limit + 1).contains(&seconds), "{case}: after {seconds} s");
                    assert_eq!(client.sees().one().status, 408, "{case}");
                }
                None => assert_eq!(seconds, 100, "{case}"),
            }
        }
    }
}

#[test]
fn a_byte_in_twenty_seconds_is_too_slow_and_bytes_that_came_in_time_are_kept_to_account() {
    let web = limited(Limits::default());
    let (drips, pauses) = (web.connect(), web.connect());
    let request = post("/", "", &"x".repeat(10_000));
    drips.send(&request[..request.len() - 10_000]);
    pauses.send(&request[..request.len() - 1]);
    web.pass(6 * SECOND);
    assert_eq!(drips.sees().one().status, 408);
    web.pass(14 * SECOND);
    pauses.send("x");
    assert_eq!(pauses.sees().one().status, 200);
}

#[test]
fn time_in_which_the_handler_is_busy_is_not_the_clients() {
    let web = Web::serve(|mut request: Request, exchange: Exchange| async move {
        let mut byte = [0];
        while request.read(&mut byte).await? > 0 {
            exchange.sleep(20 * SECOND).await;
        }
        Ok(Response::from("read"))
    });
    let client = web.connect();
    client.send(post("/", "", "abc"));
    web.pass(61 * SECOND);
    assert_eq!(client.sees().one().text(), "read");
}

#[test]
fn handlers_have_no_limit_and_neither_has_a_body_that_they_do_not_wait_for() {
    let web = Web::serve(|mut request: Request, exchange: Exchange| async move {
        exchange.sleep(1000 * SECOND).await;
        echo_of(&mut request).await
    });
    let client = web.connect();
    let request = post("/", "", "body");
    let (start, end) = request.split_at(request.len() - 2);
    client.send(start);
    web.pass(1001 * SECOND);
    client.send(end);
    assert_eq!(client.sees().one().text(), "body");
}

async fn echo_of(request: &mut Request) -> Result<Response> {
    Ok(request.body_bytes().await?.into())
}

#[test]
fn empty_lines_do_not_keep_a_connection() {
    let web = limited(Limits::default());
    let client = web.connect();
    for _ in 0..8 {
        client.send("\r\n");
        web.pass(30 * SECOND);
    }
    assert!(!client.stream.is_closed());
    client.send("\r\n");
    assert_eq!(client.sees().one().status, 400);
}

/// An answer without end, which counts what is taken of it.
#[derive(Clone, Default)]
struct Endless(Arc<AtomicUsize>);

impl AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.0.fetch_add(buf.len(), Ordering::Relaxed);
        Poll::Ready(Ok(buf.len()))
    }
}

fn endless(answer_rate: u32) -> (Endless, Web) {
    let endless = Endless::default();
    let body = endless.clone();
    let handler = move |_: Request| {
        let body = Body::from_reader(BufReader::new(body.clone()), None);
        async move { Ok(Response::from(body)) }
    };
    (endless, Web::limited(handler, Limits { answer_rate, ..Limits::default() }))
}

#[test]
fn a_reader_that_stalls_is_cut_off_and_costs_64_kib_at_most() {
    let (endless, web) = endless(0);
    let client = web.connect_with_capacity(1000);
    client.send(get("/", ""));
    web.pass(30 * SECOND - SLACK);
    assert!(!client.is_gone());
    web.pass(2 * SLACK);
    assert!(client.is_gone());
    assert!(endless.0.load(Ordering::Relaxed) <= 64 * 1024);
}

#[test]
fn a_reader_that_reads_has_time() {
    let (_, web) = endless(0);
    let client = web.connect_with_capacity(1000);
    client.send(get("/", ""));
    for _ in 0..10 {
        web.pass(29 * SECOND);
        assert_eq!(client.stream.receive(1).len(), 1);
        web.settle();
    }
    assert!(!client.is_gone());
    web.pass(31 * SECOND);
    assert!(client.is_gone());
}

#[test]
fn a_reader_must_be_as_fast_as_the_rate_after_five_seconds() {
    for (each_second, cut_after) in [(0, Some(9)), (1, Some(9)), (120, Some(18)), (250, None)] {
        let (_, web) = endless(240);
        // What fits between counts as taken: no one can tell.
        let client = web.connect_with_capacity(1000);
        client.send(get("/", ""));
        let mut seconds = 0;
        while !client.is_gone() && seconds < 100 {
            web.pass(SECOND);
            client.stream.receive(each_second);
            web.settle();
            seconds += 1;
        }
        let expected = cut_after.unwrap_or(100);
        assert!((expected..=expected + 1).contains(&seconds), "{each_second}: after {seconds} s");
    }
}

#[test]
fn a_client_that_sends_requests_and_reads_nothing_is_cut_off() {
    let (served, web) = counting();
    let client = web.connect_with_capacity(1000);
    client.send(get("/", "").repeat(2000));
    assert!(served.get() < 1000, "what it does not read is not made");
    web.pass(31 * SECOND);
    assert!(client.is_gone());
}

fn counting() -> (Rc<Cell<usize>>, Web) {
    let served = Rc::new(Cell::new(0));
    let counter = served.clone();
    let web = Web::serve(move |_: Request| {
        counter.set(counter.get() + 1);
        async move { Ok(Response::from("hello")) }
    });
    (served, web)
}

#[test]
fn a_connection_may_be_limited_to_some_requests() {
    let web = limited(Limits { requests: 3, ..Limits::default() });
    let seen = web.ask(get("/", "").repeat(5));
    assert_eq!((seen.statuses(), seen.closed), (vec![200; 3], true));
    let closes: Vec<_> = seen.answers.iter().map(|answer| answer.says_close()).collect();
    assert_eq!(closes, [false, false, true]);
}

#[test]
fn the_limits_of_a_server_can_be_set_too() {
    let (listener, network) = memory();
    let limits = Limits { requests: 1, ..Limits::default() };
    let server = Server::new(listener, Http::new(echo)).limits(limits);
    let web = Web { rig: Rig::start(|s| s.service("web", server)), network };
    assert!(web.ask(get("/", "")).one().says_close());
}

#[test]
fn a_body_may_be_as_long_as_the_limit_and_not_a_byte_longer() {
    let web = limited(Limits { body_size: 10, ..Limits::default() });
    assert_eq!(web.ask(post("/", "", "0123456789")).one().text(), "0123456789");
    assert_eq!(web.ask(post("/", "", "01234567890")).one().status, 413);
    let ten = "5\r\n01234\r\n5\r\n56789\r\n";
    assert_eq!(web.ask(post_chunked("/", &format!("{ten}0\r\n\r\n"))).one().text(), "0123456789");
    let seen = web.ask(post_chunked("/", &format!("{ten}1\r\n")));
    assert_eq!((seen.closed, seen.one().status), (true, 413));
}

#[test]
fn a_body_too_large_is_refused_before_it_is_sent() {
    let web = limited(Limits { body_size: 10, ..Limits::default() });
    let seen = web
        .ask("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!((seen.statuses(), seen.closed), (vec![413], true));
}

#[test]
fn a_head_may_be_as_long_as_the_limit_and_not_a_byte_longer() {
    let request = |length: usize| {
        let short = get("/", "Name: \r\n").len();
        get("/", &format!("Name: {}\r\n", "a".repeat(length - short)))
    };
    let web = limited(Limits { head_size: 100, ..Limits::default() });
    assert_eq!(web.ask(request(100)).one().status, 200);
    assert_eq!(web.ask(request(101)).one().status, 431);
    assert_eq!(web.ask(&request(200)[..101]).one().status, 431, "before its end has come");
    assert_eq!(web.ask(get(&format!("/{}", "a".repeat(100)), "")).one().status, 414);
    assert_eq!(web.ask("a".repeat(101)).one().status, 400);
    // What the engine cannot decode is not let in, whatever the limit.
    let web = limited(Limits { head_size: 100_000, headers: 1000, ..Limits::default() });
    assert_eq!(web.ask(request(9000)).one().status, 431);
    assert_eq!(web.ask(get("/", &"A: b\r\n".repeat(127))).one().status, 431);
}

#[test]
fn a_head_may_have_as_many_lines_as_the_limit_and_not_one_more() {
    let web = limited(Limits { headers: 3, ..Limits::default() });
    assert_eq!(web.ask(get("/", "A: b\r\nA: b\r\n")).one().status, 200);
    assert_eq!(web.ask(get("/", "A: b\r\nA: b\r\nA: b\r\n")).one().status, 431);
}

#[test]
fn a_request_that_comes_in_the_instant_of_the_idle_limit_is_answered() {
    let web = limited(Limits { idle: Duration::from_secs(1), ..Limits::default() });
    let client = web.connect();
    assert_eq!(client.ask(get("/", "")).statuses(), [200]);
    web.rig.clock.advance(Duration::from_millis(900));
    web.settle();
    // The limit passes, and nobody has run since.
    web.rig.clock.advance(Duration::from_millis(100));
    assert_eq!(client.ask(get("/", "")).statuses(), [200]);
}
