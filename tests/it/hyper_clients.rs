//! Clients that go, streams without an end, and the last word, on `Hyper` over HTTP/1.1.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use adieu::hyper::hyper::body::{Body, Bytes, Frame, SizeHint};
use adieu::hyper::hyper::service::service_fn;
use adieu::hyper::hyper::{Request, Response};
use adieu::hyper::{Exchange, Hyper, Limits, RequestBody};
use adieu::testing::{MemoryStream, Rig};
use adieu::{ClientEnd, Server, Signal, Stream};

const SECOND: Duration = Duration::from_secs(1);

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// Lines that are ready, and then nothing until the test says more.
#[derive(Default)]
struct Lines {
    ready: Vec<&'static str>,
    ended: bool,
    reader: Option<Waker>,
}

struct Content {
    lines: Rc<RefCell<Lines>>,
    whole: bool,
    length: Option<u64>,
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut lines = self.lines.borrow_mut();
        match lines.ready.is_empty() {
            false => Poll::Ready(Some(Ok(Frame::data(lines.ready.remove(0).into())))),
            true if self.whole || lines.ended => Poll::Ready(None),
            true => {
                lines.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or(SizeHint::default(), SizeHint::with_exact)
    }
}

/// A handler at work, or the body of an answer, until it is dropped.
struct Work(Rc<Cell<usize>>);

impl Work {
    fn begin(at_work: &Rc<Cell<usize>>) -> Work {
        at_work.set(at_work.get() + 1);
        Work(at_work.clone())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// What the tests can see and move.
#[derive(Clone, Default)]
struct Seen {
    at_work: Rc<Cell<usize>>,
    polls: Rc<Cell<usize>>,
    heard: Rc<Cell<usize>>,
    lines: Rc<RefCell<Lines>>,
}

impl Seen {
    async fn answer(self, request: Request<RequestBody>) -> Result<Response<Content>, Infallible> {
        let exchange = request.extensions().get::<Exchange>().expect("each has one").clone();
        let _work = Work::begin(&self.at_work);
        let path = request.uri().path().to_owned();
        let (path, kind) = path.split_once('.').unwrap_or((&path, ""));
        let mut content = Content { lines: self.lines.clone(), whole: false, length: None };
        match path {
            "/never" => pending().await,
            "/polled" => {
                poll_fn(|_| {
                    self.polls.set(self.polls.get() + 1);
                    Poll::<()>::Pending
                })
                .await
            }
            "/second" => {
                read(request).await;
                exchange.sleep(SECOND).await;
                content.whole = true;
            }
            "/watch" => {
                // In a task of its own, which the handler does not poll.
                let (heard, gone) = (self.heard.clone(), exchange.client_gone());
                let shutdown = exchange.shutdown().clone();
                exchange.spawn(async move {
                    if shutdown.race(gone).await.is_some() {
                        heard.set(heard.get() + 1);
                    }
                });
                exchange.sleep(20 * SECOND).await;
                content.whole = true;
            }
            "/known" => content.length = Some(1000),
            "/stream" => {}
            _ => content.whole = true,
        }
        let kind = match kind {
            "events" => "Text/Event-Stream; charset=utf-8",
            _ => "text/plain",
        };
        let response = Response::builder().header("content-type", kind);
        Ok(response.body(content).expect("it is an answer"))
    }
}

fn start_with(limits: Limits, drops: Option<bool>, grace: Duration) -> (Rig, Seen) {
    let seen = Seen::default();
    let told = seen.clone();
    let rig = Rig::serve_with(move |supervisor, listener| {
        let hyper = Hyper::new(service_fn(move |request| told.clone().answer(request)));
        let server = Server::new(listener, hyper).limits(limits);
        let server = match drops {
            Some(drops) => server.drop_handler_when_client_goes(drops),
            None => server,
        };
        supervisor.grace(grace).service("web", server)
    });
    (rig, seen)
}

fn start() -> (Rig, Seen) {
    start_with(Limits::default(), None, 10 * SECOND)
}

fn start_dropping(drops: Option<bool>) -> (Rig, Seen) {
    start_with(Limits::default(), drops, 10 * SECOND)
}

/// Closes with nothing unread: the server reads a clean end, and can write no more.
fn go(client: MemoryStream) {
    client.received();
    drop(client);
}

#[test]
fn a_stream_of_events_ends_with_the_drain_and_what_is_ready_is_still_sent() {
    let (rig, seen) = start();
    let client = rig.ask(get("/stream.events").as_bytes());
    seen.lines.borrow_mut().ready.extend(["data: 1\n\n"]);
    seen.lines.borrow_mut().reader.take().into_iter().for_each(Waker::wake);
    rig.settle();
    assert!(client.text().ends_with("\r\n\r\n9\r\ndata: 1\n\n\r\n"));
    // The next one is ready in the very turn in which the drain begins.
    seen.lines.borrow_mut().ready.extend(["data: 2\n\n", "data: 3\n\n"]);
    rig.signal(Signal::Term);
    assert_eq!(client.text(), "9\r\ndata: 2\n\n\r\n9\r\ndata: 3\n\n\r\n0\r\n\r\n");
    drop(client);
    let report = rig.report();
    assert!(report.is_graceful() && report.took < SECOND, "{report}");
    assert_eq!((report.services[0].counts.drained, report.services[0].counts.requests), (1, 1));
}

#[test]
fn a_stream_of_events_to_an_http_1_0_client_ends_with_a_clean_close() {
    let (rig, seen) = start();
    let client = rig.ask(b"GET /stream.events HTTP/1.0\r\n\r\n");
    seen.lines.borrow_mut().ready.push("data: 1\n\n");
    rig.signal(Signal::Term);
    assert!(client.text().ends_with("\r\n\r\ndata: 1\n\n"));
    assert!(client.is_closed() && !client.is_reset());
    drop(client);
    assert!(rig.report().is_graceful());
}

#[test]
fn no_other_body_is_ended_and_none_of_known_length() {
    for path in ["/stream.plain", "/known.events"] {
        let (rig, seen) = start();
        let client = rig.ask(get(path).as_bytes());
        seen.lines.borrow_mut().ready.push("data: 1\n\n");
        rig.signal(Signal::Term);
        rig.pass(9 * SECOND);
        assert!(!client.is_closed(), "{path}");
        rig.pass(2 * SECOND);
        assert!(client.is_closed() && !client.text().ends_with("0\r\n\r\n"));
        assert_eq!(rig.report().exit_status(), 124);
    }
}

#[test]
fn a_body_that_the_handler_marks_ends_like_a_stream_of_events() {
    let lines: Rc<RefCell<Lines>> = Rc::default();
    let content = lines.clone();
    let answer = move |request: Request<RequestBody>| {
        let exchange = request.extensions().get::<Exchange>().expect("each has one");
        let content = Content { lines: content.clone(), whole: false, length: None };
        let response = Response::new(exchange.until_shutdown(content));
        async { Ok::<_, Infallible>(response) }
    };
    let rig = Rig::serve("web", Hyper::new(service_fn(answer)));
    let client = rig.ask(get("/").as_bytes());
    assert!(client.text().starts_with("HTTP/1.1 200 OK"));
    lines.borrow_mut().ready.push("last");
    rig.signal(Signal::Term);
    assert_eq!(client.text(), "4\r\nlast\r\n0\r\n\r\n");
    drop(client);
    assert!(rig.report().is_graceful());
}

#[test]
fn a_handler_is_dropped_or_not_as_the_option_says_when_its_client_resets() {
    for (drops, is_dropped) in [(None, true), (Some(true), true), (Some(false), false)] {
        let (rig, seen) = start_dropping(drops);
        let client = rig.ask(get("/never").as_bytes());
        client.reset_on_close(true);
        drop(client);
        rig.settle();
        assert_eq!(seen.at_work.get(), usize::from(!is_dropped), "{drops:?}");
        // In the drain nobody waits for it.
        rig.signal(Signal::Term);
        assert_eq!(seen.at_work.get(), 0);
        let report = rig.report();
        assert!(report.is_graceful() && report.took < SECOND, "{report}");
        assert_eq!(report.services[0].counts.dropped, 1);
    }
}

#[test]
fn a_client_that_has_closed_for_good_is_found_out_if_somebody_wants_to_know() {
    for (drops, path, is_dropped, hears) in [
        (None, "/never", false, false),
        (Some(true), "/never", true, false),
        (Some(false), "/never", false, false),
        // Somebody watches, so it is known; and then the default goes by it.
        (None, "/watch", true, true),
        (Some(false), "/watch", false, true),
    ] {
        let (rig, seen) = start_dropping(drops);
        let client = rig.ask(get(path).as_bytes());
        go(client);
        rig.settle();
        let what = format!("{drops:?} {path}");
        assert_eq!(seen.at_work.get() == 0, is_dropped, "{what}");
        assert_eq!(seen.heard.get() == 1, hears, "{what}");
    }
}

#[test]
fn a_client_that_has_only_closed_its_side_is_asked_once_and_gets_its_answer() {
    let asked = "HTTP/1.1 100 Continue\r\n\r\n";
    for (drops, path, version, is_asked) in [
        (Some(true), "/second", "1.1", true),
        (Some(true), "/second", "1.0", false),
        (None, "/second", "1.1", false),
        (Some(false), "/second", "1.1", false),
        (None, "/watch", "1.1", true),
    ] {
        let (rig, seen) = start_dropping(drops);
        let request = format!("GET {path} HTTP/{version}\r\nHost: test\r\n\r\n");
        let client = rig.ask(request.as_bytes());
        client.half_close().expect("it is open");
        rig.settle();
        assert_eq!(client.text(), if is_asked { asked } else { "" }, "{drops:?} {path} {version}");
        rig.pass(SECOND);
        rig.pass(20 * SECOND);
        let answer = client.text();
        assert!(answer.starts_with(&format!("HTTP/{version} 200 OK\r\n")), "{answer}");
        assert_eq!(seen.heard.get(), 0, "it was there");
        drop(client);
        rig.signal(Signal::Term);
        assert_eq!(rig.report().services[0].counts.dropped, 0);
    }
}

#[test]
fn nobody_is_asked_behind_the_first_byte_of_an_answer() {
    let (rig, seen) = start_dropping(Some(true));
    let client = rig.ask(get("/stream.plain").as_bytes());
    assert!(client.text().starts_with("HTTP/1.1 200 OK"));
    client.half_close().expect("it is open");
    rig.settle();
    assert_eq!(client.text(), "");
    // A failed write says it too.
    drop(client);
    seen.lines.borrow_mut().ready.push("x");
    seen.lines.borrow_mut().reader.take().into_iter().for_each(Waker::wake);
    rig.signal(Signal::Term);
    let report = rig.report();
    assert!(report.is_graceful(), "{report}");
    assert_eq!(report.services[0].counts.dropped, 1, "its body was");
}

#[test]
fn the_straggler_says_that_its_client_has_closed_its_side() {
    let (rig, _seen) = start();
    let client = rig.ask(get("/never").as_bytes());
    go(client);
    rig.settle();
    rig.signal(Signal::Term);
    rig.pass(10 * SECOND);
    let report = rig.report();
    let straggler = report.stragglers[0].connection.as_ref().expect("it is a connection");
    assert_eq!(straggler.client, ClientEnd::Closed);
    assert!(straggler.to_string().ends_with("the client has closed its side"), "{straggler}");
}

#[test]
fn at_the_deadline_a_request_without_an_answer_gets_503() {
    let half = "POST /never HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf";
    for (request, is_told) in [
        (get("/never"), true),
        ("HEAD /never HTTP/1.1\r\nHost: test\r\n\r\n".to_owned(), true),
        ("GET /never HTTP/1.0\r\n\r\n".to_owned(), true),
        (half.to_owned(), true),
        (get("/never").repeat(3), true),
        (get("/stream.plain"), false),
        ("GET /never HTTP/1.1\r\nHo".to_owned(), false),
    ] {
        let (rig, _seen) = start_with(Limits::default(), None, SECOND);
        let client = rig.ask(request.as_bytes());
        client.received();
        rig.signal(Signal::Term);
        rig.pass(SECOND);
        let told = client.text();
        assert_eq!(
            told.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
            is_told,
            "{request}{told}"
        );
        if is_told {
            for field in ["connection: close", "retry-after: 1", "content-length: 0", "date: "] {
                assert!(told.contains(&format!("\r\n{field}")), "{told}");
            }
            assert!(told.ends_with("\r\n\r\n") && told.matches("HTTP/1.1").count() == 1, "{told}");
        } else {
            assert_eq!(told, "");
        }
        assert!(client.is_gone() && !client.is_reset());
        let report = rig.report();
        assert_eq!((report.exit_status(), report.stragglers.len()), (124, 1));
        assert_eq!(report.services[0].counts.cut_off, 1);
    }
}

#[test]
fn the_handler_is_not_polled_for_the_last_word() {
    let (rig, seen) = start_with(Limits::default(), None, SECOND);
    let client = rig.ask(get("/polled").as_bytes());
    rig.signal(Signal::Term);
    rig.settle();
    let polls = seen.polls.get();
    rig.pass(SECOND);
    assert!(client.text().starts_with("HTTP/1.1 503 "));
    // What wakes it at the deadline is the last turn alone.
    assert_eq!(seen.polls.get(), polls);
}

#[test]
fn a_client_without_room_for_the_last_word_is_not_waited_for() {
    let (rig, _seen) = start_with(Limits::default(), None, SECOND);
    let client = rig.network.connect_with_capacity(10).expect("it listens");
    client.send(get("/never").as_bytes());
    rig.signal(Signal::Term);
    rig.pass(SECOND);
    assert_eq!(client.text(), "HTTP/1.1 5");
    assert_eq!(rig.report().exit_status(), 124);
}

#[test]
fn an_answer_that_is_cut_to_an_http_1_0_client_is_reset_and_gets_no_last_word() {
    let (rig, seen) = start_with(Limits::default(), None, SECOND);
    let client = rig.ask(b"GET /stream.plain HTTP/1.0\r\n\r\n");
    seen.lines.borrow_mut().ready.push("x");
    rig.signal(Signal::Term);
    rig.pass(SECOND);
    assert!(client.is_reset());
}

#[test]
fn pipelined_requests_that_have_arrived_are_answered_and_only_the_last_says_close() {
    let post = "POST /second HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody";
    let chunks = "POST /second HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    for (pipeline, answers) in [
        (get("/second").repeat(3), 3),
        (post.repeat(3), 3),
        ([post, &get("/second"), post].concat(), 3),
        ([&get("/second"), chunks].concat(), 2),
        // The last has not arrived.
        ([&get("/second"), &get("/second"), "GET / HT"].concat(), 2),
        ([&get("/second"), &post[..post.len() - 1]].concat(), 1),
        (get("/second"), 1),
    ] {
        let (rig, _seen) = start();
        let client = rig.ask(pipeline.as_bytes());
        rig.signal(Signal::Term);
        for _ in 0..answers {
            rig.pass(SECOND);
        }
        let told = client.text();
        assert_eq!(told.matches("HTTP/1.1 200 OK").count(), answers, "{pipeline}{told}");
        assert_eq!(told.matches("connection: close").count(), 1, "{told}");
        let (_, last) = told.rsplit_once("HTTP/1.1 200 OK").expect("an answer");
        assert!(last.contains("connection: close"), "{told}");
        assert!(client.is_closed(), "{pipeline}");
        drop(client);
        assert!(rig.report().is_graceful());
    }
}

#[test]
fn who_always_has_one_more_request_in_the_pipeline_is_not_served_to_the_deadline() {
    let (rig, _seen) = start();
    let client = rig.ask(get("/second").as_bytes());
    rig.signal(Signal::Term);
    rig.pass(SECOND);
    let mut answers = 0;
    while !client.is_closed() && answers < 5_000 {
        client.send(get("/").as_bytes());
        client.send(get("/").as_bytes());
        rig.settle();
        answers += client.text().matches("200 OK").count();
    }
    assert!(client.is_closed());
}

#[test]
fn a_request_that_comes_while_the_last_one_is_answered_in_the_drain_is_answered_too() {
    let (rig, _seen) = start();
    let client = rig.ask(get("/second").as_bytes());
    rig.signal(Signal::Term);
    client.send(get("/").as_bytes());
    rig.pass(SECOND);
    let told = client.text();
    assert_eq!(told.matches("HTTP/1.1 200 OK").count(), 2, "{told}");
    assert!(client.is_closed());
}

#[test]
fn a_body_that_drips_is_answered_with_408_when_its_allowance_is_used_up() {
    for (each_second, after) in [(1, 6), (100, 9)] {
        let rig = serve_readers();
        let head = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10000\r\n\r\n";
        let client = rig.ask(head.as_bytes());
        let mut passed = 0;
        while !client.is_closed() && passed < 20 {
            client.send(&vec![b'x'; each_second]);
            rig.pass(SECOND);
            passed += 1;
        }
        assert!(client.text().starts_with("HTTP/1.1 408 "));
        assert_eq!(passed, after, "{each_second} bytes a second");
    }
}

/// A server whose handler reads the body of each request.
fn serve_readers() -> Rig {
    let reads = |request| async {
        read(request).await;
        Ok::<_, Infallible>(Response::new(String::new()))
    };
    Rig::serve("web", Hyper::new(service_fn(reads)))
}

async fn read(request: Request<RequestBody>) {
    let mut body = pin!(request.into_body());
    while let Some(Ok(_)) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {}
}

#[test]
fn an_answer_that_is_taken_in_drips_is_cut_when_its_allowance_is_used_up() {
    for (each_second, is_cut) in [(1, true), (200, true), (300, false)] {
        let answer = |_| async { Ok::<_, Infallible>(Response::new("x".repeat(100_000))) };
        let rig = Rig::serve("web", Hyper::new(service_fn(answer)));
        let client = rig.network.connect_with_capacity(100).expect("it listens");
        client.send(get("/").as_bytes());
        for _ in 0..60 {
            rig.pass(SECOND);
            let mut left = each_second;
            while left > 0 {
                left -= client.receive(left.min(100)).len().max(1);
                rig.settle();
            }
        }
        assert_eq!(client.is_gone(), is_cut, "{each_second} bytes a second");
    }
}

#[test]
fn heads_keep_to_the_limits_that_http_keeps_to() {
    let limits = Limits { head_size: 200, headers: 3, ..Limits::default() };
    let field = |number| format!("x{number}: y\r\n");
    for (limits, head, status) in [
        (&limits, get("/"), 200),
        (&limits, get(&format!("/{}", "x".repeat(200))), 414),
        (
            &limits,
            get("/").replace("\r\n\r\n", &format!("\r\nx: {}\r\n\r\n", "y".repeat(200))),
            431,
        ),
        (&limits, get("/").replace("\r\n\r\n", "\r\na: b\r\nc: d\r\n\r\n"), 200),
        (&limits, get("/").replace("\r\n\r\n", "\r\na: b\r\nc: d\r\ne: f\r\n\r\n"), 431),
        // What `Http` takes by default.
        (
            &Limits::default(),
            get("/").replace(
                "\r\n\r\n",
                &format!("\r\n{}\r\n", (0..126).map(field).collect::<String>()),
            ),
            200,
        ),
        (
            &Limits::default(),
            get("/").replace(
                "\r\n\r\n",
                &format!("\r\n{}\r\n", (0..127).map(field).collect::<String>()),
            ),
            431,
        ),
        (&Limits::default(), get(&format!("/{}", "x".repeat(8_100))), 200),
        (&Limits::default(), get(&format!("/{}", "x".repeat(8_200))), 414),
    ] {
        let (rig, _seen) = start_with(limits.clone(), None, SECOND);
        let client = rig.ask(head.as_bytes());
        let told = client.text();
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{head}{told}");
        assert_eq!(client.is_closed(), status != 200);
    }
}

#[test]
fn a_connection_of_age_says_close_and_one_whose_turn_has_come_closes_when_it_is_idle() {
    let (rig, _seen) = (
        Rig::serve_with(|supervisor, listener| {
            let answer = |_| async { Ok::<_, Infallible>(Response::new(String::new())) };
            let server =
                Server::new(listener, Hyper::new(service_fn(answer))).max_age(100 * SECOND);
            supervisor.grace(60 * SECOND).lame_duck(20 * SECOND).spread(true).service("web", server)
        }),
        (),
    );
    let old = rig.ask(get("/").as_bytes());
    for _ in 0..2 {
        rig.pass(55 * SECOND);
        old.send(get("/").as_bytes());
        rig.settle();
    }
    assert_eq!(old.text().matches("connection: close").count(), 1);
    assert!(old.is_closed());
    let clients: Vec<_> = (0..20).map(|_| rig.ask(get("/").as_bytes())).collect();
    rig.signal(Signal::Term);
    let closed = || clients.iter().filter(|client| client.is_closed()).count();
    let mut counts = vec![closed()];
    for _ in 0..19 {
        rig.pass(SECOND);
        counts.push(closed());
    }
    assert_eq!(counts[0], 0);
    assert!(counts[10] > 2 && counts[10] < 18 && counts[19] > 15, "{counts:?}");
}
