//! The rules of the drain, as HTTP clients see them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use adieu::http::http_types::{Body, Request, Response, Result};
use adieu::http::{Exchange, Http};
use adieu::testing::{MemoryStream, Network, memory, settle};
use adieu::{Server, Signal, State, Straggler, Waiting};
use futures_lite::{AsyncReadExt, io};

use crate::lame_duck::looker;
use crate::rig::{self, GET, Rig, ask, text};

const SLOW: &[u8] = b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n";
const STUCK: &[u8] = b"GET /stuck HTTP/1.1\r\nHost: test\r\n\r\n";
const BIG: &[u8] = b"GET /big HTTP/1.1\r\nHost: test\r\n\r\n";
const HALF_BODY: &[u8] = b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhello";

async fn handler(mut request: Request, exchange: Exchange) -> Result<Response> {
    match request.url().path() {
        "/slow" => exchange.sleep(Duration::from_secs(3)).await,
        "/stuck" => exchange.sleep(Duration::from_secs(3600)).await,
        "/big" => {
            let body = io::BufReader::new(io::repeat(b'.').take(1_000_000));
            return Ok(Body::from_reader(body, Some(1_000_000)).into());
        }
        "/echo" => return Ok(request.body_bytes().await?.into()),
        _ => {}
    }
    Ok("hello".into())
}

fn serve() -> (Rig, Network) {
    rig::serve("web", Http::new(handler))
}

/// What one connection sees, and when: seconds from the signal to its close, and how its answer begins.
struct Sees {
    status: &'static str,
    closes_after: f64,
    cut_off: bool,
}

#[test]
fn each_stall_point_sees_what_the_rules_say() {
    let silent = |closes_after, cut_off| Sees { status: "", closes_after, cut_off };
    let answered = |status, closes_after| Sees { status, closes_after, cut_off: false };
    let cut_off = |status| Sees { status, closes_after: 10.0, cut_off: true };
    let table: &[(&str, &[u8], State, Sees)] = &[
        ("no byte", b"", State::New, silent(0.0, false)),
        ("half a request line", b"GET /", State::Head, answered("408", 2.0)),
        ("half a header", b"GET / HTTP/1.1\r\nHo", State::Head, answered("408", 2.0)),
        ("half a body", HALF_BODY, State::Active, answered("408", 5.0)),
        ("slow handler", SLOW, State::Active, answered("200", 3.0)),
        ("stuck handler", STUCK, State::Active, cut_off("503")),
        ("slow reader", BIG, State::Active, cut_off("200")),
        ("idle", GET, State::Idle, silent(0.0, false)),
    ];
    for (name, sent, state, sees) in table {
        let (rig, network) = serve();
        let client = ask(&rig, &network, sent);
        if *state == State::Idle {
            assert!(text(&client).starts_with("HTTP/1.1 200"), "{name}");
        }
        rig.signal(Signal::Term);
        let mut received = Vec::new();
        let mut waited = 0.0;
        while !client.is_closed() && !rig.run.is_finished() {
            if *name != "slow reader" {
                received.extend(client.received());
            }
            rig.pass(Duration::from_millis(50));
            waited += 0.05;
            assert!(waited < 11.0, "{name}: neither closed nor cut off");
        }
        received.extend(client.received());
        let received = String::from_utf8(received).unwrap();
        assert!((waited - sees.closes_after).abs() < 0.11, "{name}: after {waited} s");
        match sees.status {
            "" => assert_eq!(received, "", "{name}"),
            status => {
                assert!(received.starts_with(&format!("HTTP/1.1 {status}")), "{name}: {received}")
            }
        }
        if !sees.status.is_empty() && !sees.cut_off {
            assert!(received.contains("connection: close\r\n"), "{name}: {received}");
        }
        rig.pass(Duration::from_millis(100)); // the linger
        let report = rig.report();
        let status = if sees.cut_off { 124 } else { 0 };
        assert_eq!(report.exit_status(), status, "{name}: {report}");
        let counts = &report.service("web").unwrap().counts;
        assert_eq!(counts.cut_off, u64::from(sees.cut_off), "{name}");
        assert_eq!(counts.accepted, 1, "{name}");
        assert_eq!(counts.cut_off + counts.drained + counts.closed_idle, 1, "{name}");
        if sees.cut_off {
            let straggler = report.stragglers[0].connection.as_ref().unwrap();
            assert_eq!(straggler.state, *state, "{name}");
        }
    }
}

#[test]
fn each_straggler_is_named_with_what_it_waits_for() {
    let (listener, network) = memory();
    let status = Rc::default();
    let rig = Rig::start(|s| {
        let web = Server::new(listener, Http::new(handler));
        s.service("web", web).service("looker", looker(Rc::clone(&status)))
    });
    let last = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    let sent = [&b"GET /"[..], HALF_BODY, STUCK, BIG, last];
    let _clients = sent.map(|bytes| ask(&rig, &network, bytes));
    rig.signal(Signal::Term);
    let waits = |stragglers: &[Straggler]| -> Vec<Waiting> {
        let connections = stragglers.iter().flat_map(|straggler| &straggler.connection);
        connections.map(|connection| connection.waits_for).collect()
    };
    use Waiting::{Answer, Body, Close, Handler, Head};
    let (named, more) = status.borrow().as_ref().unwrap().stragglers(10);
    assert_eq!((waits(&named), more), (vec![Head, Body, Handler, Answer, Close], 0));
    // Whoever only has to close does so when the time is over.
    rig.signal(Signal::Quit);
    assert_eq!(waits(&rig.report().stragglers), [Head, Body, Handler, Answer]);
}

#[test]
fn an_idle_connection_whose_next_request_has_just_arrived_is_served() {
    let (rig, network) = serve();
    let client = ask(&rig, &network, GET);
    client.received();
    // Sent, but the server has not run since: the signal is looked at first.
    rig.send(Signal::Term);
    client.send(GET);
    settle(&rig.executor);
    let answer = text(&client);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(answer.ends_with("hello"), "{answer}");
    drop(client);
    let report = rig.report();
    assert_eq!(report.service("web").unwrap().counts.requests, 2);
    assert_eq!(report.service("web").unwrap().counts.drained, 1);
}

#[test]
fn who_has_just_connected_gets_a_moment_to_send_its_first_byte() {
    let (rig, network) = serve();
    let early = ask(&rig, &network, b"");
    rig.pass(Duration::from_millis(50));
    let late = ask(&rig, &network, b"");
    let silent = ask(&rig, &network, b"");
    rig.signal(Signal::Term);
    assert!(early.is_closed() && !late.is_closed());
    rig.clock.advance_and_settle(Duration::from_millis(10), &rig.executor);
    late.send(GET);
    settle(&rig.executor);
    assert!(text(&late).starts_with("HTTP/1.1 200"));
    rig.pass(Duration::from_millis(10));
    assert!(silent.is_closed());
    rig.pass(Duration::from_millis(100));
    assert!(rig.report().is_graceful());
}

#[test]
fn a_request_that_waits_in_the_accept_queue_is_served() {
    let (rig, network) = serve();
    let client = network.connect().unwrap();
    client.send(GET);
    rig.signal(Signal::Term);
    assert!(text(&client).starts_with("HTTP/1.1 200"));
}

#[test]
fn pipelined_requests_that_have_arrived_are_answered_and_only_the_last_says_close() {
    let (rig, network) = serve();
    let client = ask(&rig, &network, SLOW);
    client.send(&[GET, SLOW, GET].concat());
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(6));
    let answers = text(&client);
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 4, "{answers}");
    assert_eq!(answers.matches("connection: close").count(), 1, "{answers}");
    let last = &answers[answers.rfind("HTTP/1.1").unwrap()..];
    assert!(last.contains("connection: close"), "{last}");
}

#[test]
fn a_large_pipelined_request_that_has_arrived_is_answered_too() {
    let (rig, network) = serve();
    let client = ask(&rig, &network, SLOW);
    // More than one read brings.
    let head = "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 50000\r\n\r\n";
    client.send(&[head.as_bytes(), &[b'x'; 50_000], GET].concat());
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(4));
    let answers = text(&client);
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 3);
    assert_eq!(answers.matches("connection: close").count(), 1);
}

#[test]
fn an_answer_counts_once_it_is_written_whatever_becomes_of_the_one_behind_it() {
    let (rig, network) = serve();
    let client = ask(&rig, &network, &[GET, BIG].concat());
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(10));
    assert!(text(&client).starts_with("HTTP/1.1 200"));
    assert_eq!(rig.report().service("web").unwrap().counts.requests, 1);
}

#[test]
fn a_client_that_always_has_one_more_request_in_the_pipeline_is_let_go() {
    let client: Rc<RefCell<Option<MemoryStream>>> = Rc::default();
    let pipeline = client.clone();
    let http = Http::new(move |_: Request, exchange: Exchange| {
        let pipeline = pipeline.clone();
        async move {
            exchange.shutdown().begun().await;
            pipeline.borrow().iter().for_each(|client| client.send(GET));
            Result::Ok(Response::from("hello"))
        }
    });
    let (rig, network) = rig::serve("web", http);
    *client.borrow_mut() = Some(ask(&rig, &network, GET));
    rig.signal(Signal::Term);
    let answers = text(client.borrow().as_ref().unwrap());
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 65);
    assert_eq!(answers.matches("connection: close").count(), 1);
    rig.pass(Duration::from_millis(100));
    assert!(rig.report().is_graceful());
}

#[test]
fn a_pipelined_request_that_has_arrived_in_part_is_not_waited_for() {
    let (rig, network) = serve();
    let client = ask(&rig, &network, SLOW);
    client.send(b"GET / HTT");
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(3));
    let answer = text(&client);
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 1);
    assert!(answer.contains("connection: close"));
    assert!(client.is_closed());
}

#[test]
fn a_head_that_arrives_in_time_during_the_drain_is_answered() {
    let (rig, network) = serve();
    let client = ask(&rig, &network, b"GET / HT");
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(1));
    client.send(b"TP/1.1\r\nHost: test\r\n\r\n");
    settle(&rig.executor);
    let answer = text(&client);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[test]
fn a_body_that_arrives_in_time_during_the_drain_is_answered() {
    let (rig, network) = serve();
    let client = ask(&rig, &network, HALF_BODY);
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(4));
    client.send(b"world");
    settle(&rig.executor);
    assert!(text(&client).ends_with("helloworld"));
}

#[test]
fn two_servers_close_their_listeners_in_the_same_turn() {
    let (one, first) = memory();
    let (two, second) = memory();
    let rig = Rig::start(|s| {
        s.service("one", Server::new(one, Http::new(handler)))
            .service("two", Server::new(two, Http::new(handler)))
    });
    let _busy = ask(&rig, &first, SLOW);
    rig.signal(Signal::Term);
    assert!(!first.is_open() && !second.is_open());
}

#[test]
fn a_client_that_vanishes_mid_answer_costs_nothing() {
    let (rig, network) = serve();
    let client = ask(&rig, &network, BIG);
    drop(client);
    settle(&rig.executor);
    let other = ask(&rig, &network, GET);
    assert!(text(&other).starts_with("HTTP/1.1 200"));
    rig.signal(Signal::Term);
    assert!(rig.report().is_graceful());
}

#[test]
fn a_connection_that_lingers_is_not_waited_for_longer_than_a_tenth_of_a_second() {
    let (rig, network) = serve();
    let _client = ask(&rig, &network, SLOW);
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(3));
    assert!(!rig.run.is_finished());
    rig.pass(Duration::from_millis(100));
    assert!(rig.report().is_graceful());
}

#[test]
fn after_the_run_no_timer_is_left() {
    let (rig, network) = serve();
    let _client = ask(&rig, &network, STUCK);
    let clock = rig.clock.clone();
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(10));
    rig.report();
    assert_eq!(clock.sleepers(), 0);
}

/// Bodies, pipelines and an accept queue: nothing here needs a client to do anything more.
#[test]
fn with_no_time_at_all_what_needs_no_waiting_is_answered() {
    let post = format!("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", 60_000);
    let post = [post.into_bytes(), vec![b'.'; 60_000]].concat();
    let cases: [(&str, Vec<u8>, usize); 3] = [
        ("one request", GET.to_vec(), 1),
        ("a body", post, 1),
        ("a pipeline", GET.repeat(200), 200),
    ];
    for (grace, signal) in [(Duration::ZERO, Signal::Term), (adieu::GRACE, Signal::Quit)] {
        for (name, sent, answers) in &cases {
            let (first, network) = memory();
            let (second, other_network) = memory();
            let server = |listener| Server::new(listener, Http::new(handler));
            let rig = Rig::start(|s| {
                s.grace(grace).service("web", server(first)).service("too", server(second))
            });
            let idle = ask(&rig, &network, b"");
            let mut clients = vec![idle];
            for network in [&network, &other_network] {
                clients.extend((0..20).map(|_| network.connect_with_capacity(100_000).unwrap()));
            }
            clients.iter().for_each(|client| client.send(sent));
            rig.signal(signal);
            for client in &clients {
                let answered = text(client).matches("HTTP/1.1 200 OK").count();
                assert_eq!(answered, *answers, "{name}, {signal:?}");
            }
            let report = rig.report();
            assert!(report.is_graceful(), "{name}, {signal:?}: {report}");
            assert_eq!(report.took, Duration::ZERO);
        }
    }
}

#[test]
fn a_signal_is_heard_before_the_requests_that_come_in_its_turn() {
    let (rig, network) = serve();
    let client = ask(&rig, &network, GET);
    text(&client);
    client.send(GET);
    rig.send(Signal::Term);
    settle(&rig.executor);
    let answer = text(&client);
    assert!(answer.contains("connection: close"), "{answer}");
    drop(client);
    assert!(rig.report().is_graceful());
}
