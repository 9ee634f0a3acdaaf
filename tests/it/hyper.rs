//! HTTP/1.1 and HTTP/2 with hyper.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Command;
use std::time::Duration;

use adieu::hyper::hyper::body::{Body, Frame};
use adieu::hyper::hyper::service::service_fn;
use adieu::hyper::hyper::{Request, Response};
use adieu::hyper::{Exchange, Hyper, Limits, RequestBody};
use adieu::testing::{Network, memory, settle};
use adieu::{Listener, Report, Server, Signal, State, Supervisor, Trigger};
use futures_lite::{AsyncReadExt, AsyncWriteExt, future, stream};
use smol::Timer;

use crate::h2::{self, Client};
use crate::rig::{self, Rig, connect, run_with, text};
use crate::{bound, clients};

const GET: &[u8] = b"GET /it HTTP/1.1\r\nHost: test\r\n\r\n";

type Answer = Result<Response<String>, Infallible>;

async fn hello(request: Request<RequestBody>) -> Answer {
    let exchange = request.extensions().get::<Exchange>().expect("every request has one");
    Ok(Response::new(format!("{:?} for {}", request.version(), exchange.peer())))
}

/// Answers `/slow` when shutdown has begun, everything else at once.
async fn slow(request: Request<RequestBody>) -> Answer {
    let exchange = request.extensions().get::<Exchange>().expect("every request has one");
    exchange.shutdown().begun().await;
    future::yield_now().await;
    Ok(Response::new("at last".to_owned()))
}

fn serve<F, Fut>(answer: F) -> (Rig, Network)
where
    F: Fn(Request<RequestBody>) -> Fut + 'static,
    Fut: Future<Output = Answer> + 'static,
{
    rig::serve("api", Hyper::new(service_fn(answer)))
}

#[test]
fn a_request_is_answered_and_the_connection_kept() {
    let (rig, network) = serve(hello);
    let client = connect(&rig, &network);
    for _ in 0..3 {
        client.send(GET);
        settle(&rig.executor);
        let answer = text(&client);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nHTTP/1.1 for client 1"), "{answer}");
    }
    drop(client);
    rig.signal(Signal::Term);
    let report = rig.report();
    assert!(report.is_graceful());
    let counts = &report.services[0].counts;
    assert_eq!((counts.requests, counts.statuses[1], counts.latency.count()), (3, 3, 3));
    assert_eq!(counts.received, 3 * GET.len() as u64);
    assert!(counts.sent > 3 * 50, "{counts:?}");
}

#[test]
fn a_lame_duck_answers_with_connection_close() {
    let (listener, network) = memory();
    let server = Server::new(listener, Hyper::new(service_fn(hello)));
    let rig = Rig::start(|s| s.lame_duck(Duration::from_secs(2)).service("api", server));
    let client = connect(&rig, &network);
    rig.signal(Signal::Term);
    assert!(!client.is_closed());
    client.send(GET);
    settle(&rig.executor);
    let answer = text(&client);
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(client.is_closed());
}

#[test]
fn new_and_idle_connections_are_closed_by_the_drain() {
    let (rig, network) = serve(hello);
    let (new, idle) = (connect(&rig, &network), connect(&rig, &network));
    idle.send(GET);
    settle(&rig.executor);
    assert!(!text(&idle).is_empty());
    rig.pass(Duration::from_millis(50));
    rig.signal(Signal::Term);
    assert!(new.is_gone());
    assert!(idle.is_closed());
    assert_eq!(text(&idle), "");
    drop(idle);
    let report = rig.report();
    assert_eq!(report.services[0].counts.closed_idle, 2);
}

#[test]
fn a_request_that_is_there_when_shutdown_begins_is_answered() {
    let (rig, network) = serve(hello);
    let (new, idle) = (connect(&rig, &network), connect(&rig, &network));
    idle.send(GET);
    settle(&rig.executor);
    text(&idle);
    // None of these has been read when the drain begins.
    let queued = network.connect().expect("it listens");
    rig.send(Signal::Term);
    for client in [&new, &idle, &queued] {
        client.send(GET);
    }
    settle(&rig.executor);
    for client in [&new, &idle, &queued] {
        let answer = text(client);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        assert!(client.is_closed());
    }
    drop((new, idle, queued));
    assert!(rig.report().is_graceful());
}

#[test]
fn a_newcomer_gets_a_moment_for_its_first_byte() {
    for preface in [GET, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"] {
        let (rig, network) = serve(hello);
        let queued = network.connect().expect("it listens");
        let silent = network.connect().expect("it listens");
        rig.signal(Signal::Term);
        assert!(!queued.is_closed() && !silent.is_closed());
        rig.clock.advance(Duration::from_millis(19));
        queued.send(preface);
        settle(&rig.executor);
        assert!(!queued.received().is_empty());
        assert!(!silent.is_gone());
        rig.clock.advance(Duration::from_millis(1));
        settle(&rig.executor);
        assert!(silent.is_gone());
    }
}

#[test]
fn a_request_in_flight_is_finished_and_says_close() {
    let (rig, network) = serve(slow);
    let client = connect(&rig, &network);
    client.send(GET);
    settle(&rig.executor);
    assert_eq!(text(&client), "");
    rig.signal(Signal::Term);
    let answer = text(&client);
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(answer.ends_with("at last"), "{answer}");
    drop(client);
    let report = rig.report();
    assert_eq!(report.services[0].counts.drained, 1);
}

#[test]
fn half_a_head_gets_two_seconds_more_and_then_408() {
    let (rig, network) = serve(hello);
    let (late, in_time) = (connect(&rig, &network), connect(&rig, &network));
    for client in [&late, &in_time] {
        client.send(b"GET /it HTTP/1.1\r\nHos");
    }
    // It might still become the preface of HTTP/2.
    let undecided = connect(&rig, &network);
    undecided.send(b"P");
    settle(&rig.executor);
    rig.signal(Signal::Term);
    rig.pass(Duration::from_millis(1500));
    in_time.send(b"t: test\r\n\r\n");
    settle(&rig.executor);
    assert!(text(&in_time).ends_with("for client 2"));
    assert_eq!(text(&late), "");
    rig.pass(Duration::from_millis(700));
    for client in [&late, &undecided] {
        assert!(text(client).starts_with("HTTP/1.1 408 "));
    }
    drop((late, in_time, undecided));
    assert!(rig.report().is_graceful());
}

#[test]
fn a_head_may_take_ten_seconds_and_an_idle_connection_seventy_five() {
    let (rig, network) = serve(hello);
    let (slow, new, idle) =
        (connect(&rig, &network), connect(&rig, &network), connect(&rig, &network));
    slow.send(b"G");
    idle.send(GET);
    settle(&rig.executor);
    text(&idle);
    rig.pass(Duration::from_millis(9_900));
    assert_eq!(text(&slow), "");
    rig.pass(Duration::from_millis(300));
    assert!(text(&slow).starts_with("HTTP/1.1 408 "));
    rig.pass(Duration::from_millis(64_600));
    assert!(!new.is_closed() && !idle.is_closed());
    rig.pass(Duration::from_millis(500));
    assert!(new.is_closed() && idle.is_closed());
}

#[test]
fn a_client_that_takes_nothing_for_thirty_seconds_is_cut() {
    let answer = |_| async { Ok::<_, Infallible>(Response::new("x".repeat(10_000))) };
    let limits = Limits { answer_rate: 0, ..Limits::default() };
    let (rig, network) = rig::serve("api", Hyper::new(service_fn(answer)).limits(limits));
    let [slow, stuck] = [(); 2].map(|()| network.connect_with_capacity(100).expect("it listens"));
    for client in [&slow, &stuck] {
        client.send(GET);
    }
    settle(&rig.executor);
    for _ in 0..2 {
        rig.pass(Duration::from_secs(25));
        assert_eq!(slow.receive(100).len(), 100);
        settle(&rig.executor);
    }
    assert!(stuck.is_gone(), "it has taken nothing");
    assert!(!slow.is_closed(), "it goes on taking");
    rig.pass(Duration::from_secs(31));
    assert!(slow.is_gone());
}

#[test]
fn a_request_that_does_not_end_is_cut_off_and_named() {
    let (rig, network) = serve(|_| pending());
    let client = connect(&rig, &network);
    client.send(GET);
    settle(&rig.executor);
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(10));
    assert!(client.is_gone());
    let report = rig.report();
    let straggler = report.stragglers[0].connection.as_ref().expect("it is a connection");
    assert_eq!(straggler.state, State::Active);
    assert_eq!(straggler.request, "GET /it");
    assert_eq!(report.exit_status(), 124);
}

#[test]
fn a_panic_is_answered_with_500() {
    let (rig, network) = serve(|_| async { panic!("on purpose") });
    let client = connect(&rig, &network);
    client.send(GET);
    settle(&rig.executor);
    assert!(text(&client).starts_with("HTTP/1.1 500 "));
    drop(client);
    rig.signal(Signal::Term);
    let report = rig.report();
    assert!(report.is_graceful());
    assert_eq!(report.services[0].counts.panicked, 1);
}

/// A body that panics instead of its second frame, when this is done.
struct Panics(Pin<Box<dyn Future<Output = ()>>>, bool);

impl Body for Panics {
    type Data = io::Cursor<&'static [u8]>;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Self::Data>, Infallible>>> {
        if !std::mem::replace(&mut self.1, true) {
            return std::task::Poll::Ready(Some(Ok(Frame::data(io::Cursor::new(b"first")))));
        }
        std::task::ready!(self.0.as_mut().poll(cx));
        panic!("on purpose");
    }
}

#[test]
fn a_panic_of_an_answers_body_costs_its_stream_and_nothing_else() {
    let (listener, network) = memory();
    let panics = service_fn(|request: Request<RequestBody>| {
        let exchange = request.extensions().get::<Exchange>().cloned().expect("each has one");
        let is_late = request.uri().path() == "/late";
        let when = async move {
            if is_late {
                exchange.shutdown().begun().await;
            }
        };
        std::future::ready(Ok::<_, Infallible>(Response::new(Panics(Box::pin(when), false))))
    });
    let server = Server::new(listener, Hyper::new(panics));
    let rig = Rig::start(|supervisor| supervisor.service("api", server));
    let mut client = Client::connect(&network, 1000);
    client.get(1, "/at_once");
    client.get(3, "/late");
    settle(&rig.executor);
    let resets = |client: &mut Client| {
        let frames = client.frames().into_iter().filter(|frame| frame.kind == h2::RST_STREAM);
        frames.map(|frame| (frame.stream, frame.error())).collect::<Vec<_>>()
    };
    assert_eq!(resets(&mut client), [(1, h2::INTERNAL_ERROR)]);
    rig.signal(Signal::Term);
    assert_eq!(resets(&mut client), [(3, h2::INTERNAL_ERROR)]);
    settle(&rig.executor);
    drop(client);
    let report = rig.report();
    assert!(report.is_graceful(), "{report}");
    let counts = &report.services[0].counts;
    assert_eq!((counts.panicked, counts.requests), (2, 0));
}

#[test]
fn an_http2_client_that_does_not_answer_the_goodbye_gets_two_seconds() {
    let (rig, network) = serve(hello);
    let client = connect(&rig, &network);
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send(b"\0\0\0\x04\0\0\0\0\0"); // SETTINGS
    settle(&rig.executor);
    client.received();
    rig.signal(Signal::Term);
    let goodbye = client.received();
    let go_away = b"\0\0\x08\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\0";
    assert!(goodbye.starts_with(go_away), "{goodbye:?}");
    rig.pass(Duration::from_millis(1900));
    assert!(!client.is_gone());
    rig.pass(Duration::from_millis(200));
    assert!(client.is_gone());
    let report = rig.report();
    assert!(report.is_graceful());
    assert_eq!(report.services[0].counts.closed_idle, 1);
}

#[test]
fn an_upgraded_stream_is_the_handlers_and_is_waited_for() {
    async fn upgrade(request: Request<RequestBody>) -> Answer {
        let exchange = request.extensions().get::<Exchange>().cloned();
        let exchange = exchange.expect("every request has one");
        let upgrade = adieu::hyper::hyper::upgrade::on(request);
        // A stand-in for the task that a WebSocket library would have.
        std::thread::spawn(move || {
            future::block_on(async {
                let _stream = upgrade.await.expect("it is upgraded");
                exchange.shutdown().begun().await;
            });
        });
        let mut response = Response::new(String::new());
        *response.status_mut() = adieu::hyper::hyper::StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert("connection", "upgrade".parse().expect("it is a value"));
        headers.insert("upgrade", "test".parse().expect("it is a value"));
        Ok(response)
    }
    let (rig, network) = serve(upgrade);
    let client = connect(&rig, &network);
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: test\r\n\r\n");
    settle(&rig.executor);
    assert!(text(&client).starts_with("HTTP/1.1 101 "));
    assert!(!client.is_closed());
    rig.signal(Signal::Term);
    let Rig { executor, run, .. } = rig;
    let report = bound::block_on(executor.run(run)).expect("a run that could begin");
    assert!(client.is_gone());
    assert!(report.is_graceful());
}

#[test]
fn a_router_of_axum_is_served() {
    let router = axum::Router::new().route("/it", axum::routing::get(async || "it")).route(
        "/{name}",
        axum::routing::get(async |axum::extract::Path(name): axum::extract::Path<String>| name),
    );
    let (rig, network) = rig::serve("api", Hyper::new(adieu::hyper::tower(router)));
    let client = connect(&rig, &network);
    for (path, status, body) in [("/it", 200, "it"), ("/you", 200, "you"), ("/a/b", 404, "")] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
        settle(&rig.executor);
        let answer = text(&client);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");
    }
}

// ---------------------------------------------------------------- real clients

/// A body of many frames that takes its time.
struct Drip(u32, Timer);

impl Body for Drip {
    type Data = io::Cursor<&'static [u8]>;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Self::Data>, Infallible>>> {
        std::task::ready!(Pin::new(&mut self.1).poll(cx));
        if self.0 == 0 {
            return std::task::Poll::Ready(None);
        }
        self.0 -= 1;
        self.1.set_after(Duration::from_millis(10));
        std::task::Poll::Ready(Some(Ok(Frame::data(io::Cursor::new(b"drip ")))))
    }
}

/// Serves drips on a port of its own while `client` runs; a `/long` one begins the shutdown.
fn with_server<T>(client: impl AsyncFnOnce(String, Trigger) -> T) -> (T, Report) {
    let supervisor = Supervisor::new();
    let (trigger, by_request) = (supervisor.trigger(), supervisor.trigger());
    let drip = service_fn(move |request: Request<RequestBody>| {
        let is_long = request.uri().path() == "/long";
        if is_long {
            by_request.shut_down();
        }
        let drops = if is_long { 30 } else { 2 };
        let drip = Drip(drops, Timer::after(Duration::ZERO));
        std::future::ready(Ok::<_, Infallible>(Response::new(drip)))
    });
    let server = Hyper::bind("127.0.0.1:0", drip).expect("a port is free");
    let address = server.listener().address();
    let supervisor = supervisor.service("api", server);
    run_with(supervisor, client(format!("http://{address}"), trigger))
}

fn command(path: PathBuf, arguments: &[&str]) -> Command {
    let mut command = Command::new(path);
    command.args(arguments);
    command
}

#[test]
fn curl_speaks_both_protocols_on_one_port() {
    let Some(curl) = clients::tool("curl", "curl") else { return };
    let (said, report) = with_server(async |url, trigger| {
        let mut said = Vec::new();
        for version in ["--http1.1", "--http2-prior-knowledge", "--http1.0"] {
            let write_out = " %{http_version} %{http_code}";
            let arguments = ["-sS", version, "-w", write_out, &url];
            said.push(clients::stdout(command(curl.clone(), &arguments)).await);
        }
        trigger.shut_down();
        said
    });
    assert_eq!(said, ["drip drip  1.1 200", "drip drip  2 200", "drip drip  1 200"]);
    assert!(report.is_graceful(), "{report}");
    assert_eq!(report.services[0].counts.requests, 3);
}

#[test]
fn streams_in_flight_end_well_when_shutdown_begins() {
    let Some(curl) = clients::tool("curl", "curl") else { return };
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let (said, report) = with_server(async |url, _trigger| {
            let url = format!("{url}/long");
            clients::stdout(command(curl.clone(), &["-sS", version, &url])).await
        });
        assert_eq!(said, "drip ".repeat(30));
        assert!(report.is_graceful(), "{report}");
        assert_eq!(report.services[0].counts.drained, 1);
    }
}

#[test]
fn an_http2_connection_is_told_to_go_away_and_its_stream_ends_well() {
    let Some(nghttp) = clients::tool("nghttp", "nghttp2-client") else { return };
    let (said, report) = with_server(async |url, _trigger| {
        let url = format!("{url}/long");
        clients::stdout(command(nghttp, &["-v", "--no-dep", &url])).await
    });
    assert!(said.contains("recv GOAWAY frame"), "{said}");
    assert!(said.contains("last_stream_id=2147483647, error_code=NO_ERROR"), "{said}");
    assert_eq!(said.matches("drip ").count(), 30, "{said}");
    assert!(report.is_graceful(), "{report}");
}

#[test]
fn h2load_finds_every_stream_answered() {
    let Some(h2load) = clients::tool("h2load", "nghttp2-client") else { return };
    for protocol in ["h2c", "http/1.1"] {
        let (said, report) = with_server(async |url, trigger: Trigger| {
            let arguments = ["-n200", "-c4", "-m10", "-p", protocol, &url];
            let said = clients::stdout(command(h2load.clone(), &arguments)).await;
            trigger.shut_down();
            said
        });
        assert!(said.contains("200 total, 200 started, 200 done, 200 succeeded"), "{said}");
        assert!(report.is_graceful(), "{report}");
        assert_eq!(report.services[0].counts.requests, 200);
    }
}

/// What an axum handler that needs tokio's time is answered with: a sleep, and a stream of events.
fn with_tokios_time() -> [String; 2] {
    use axum::response::sse::{Event, KeepAlive, Sse};
    let sleep = async || {
        tokio::time::sleep(Duration::from_millis(1)).await;
        "slept"
    };
    let events = async || {
        let events = stream::once(Ok::<_, Infallible>(Event::default().data("event")));
        Sse::new(events).keep_alive(KeepAlive::default())
    };
    let router = axum::Router::new();
    let router = router.route("/sleep", axum::routing::get(sleep));
    let router = router.route("/events", axum::routing::get(events));
    let server = Hyper::bind("127.0.0.1:0", adieu::hyper::tower(router)).expect("a port is free");
    let address = server.listener().local_addr().expect("it is TCP");
    let supervisor = Supervisor::new().service("api", server);
    let trigger = supervisor.trigger();
    let (answers, report) = run_with(supervisor, async {
        let ask = async |path: &str| {
            let mut client = smol::net::TcpStream::connect(address).await.expect("it listens");
            let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
            client.write_all(request.as_bytes()).await.expect("it is open");
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.expect("an answer");
            answer
        };
        let answers = [ask("/sleep").await, ask("/events").await];
        trigger.shut_down();
        answers
    });
    assert!(report.is_graceful(), "{report}");
    answers
}

#[test]
fn what_needs_tokios_time_works_where_a_runtime_is_entered_and_is_a_500_elsewhere() {
    for answer in with_tokios_time() {
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_time().build();
    let runtime = runtime.expect("a thread can be started");
    let _entered = runtime.enter();
    let [sleep, events] = with_tokios_time();
    assert!(sleep.ends_with("slept"), "{sleep}");
    assert!(events.contains("data: event\n\n"), "{events}");
}

/// A body that ends when it is asked a second time, and wakes nobody for that: a timer does so whose
/// time comes between the two.
struct EndsSoon(bool);

impl Body for EndsSoon {
    type Data = io::Cursor<&'static [u8]>;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Self::Data>, Infallible>>> {
        match std::mem::replace(&mut self.0, true) {
            false => std::task::Poll::Pending,
            true => std::task::Poll::Ready(None),
        }
    }
}

#[test]
fn pipelined_requests_are_answered_if_an_answer_ends_in_hypers_last_look() {
    let service = service_fn(|_: Request<RequestBody>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(EndsSoon(false))))
    });
    let (rig, network) = rig::serve("api", Hyper::new(service));
    let client = connect(&rig, &network);
    client.send(&GET.repeat(5));
    settle(&rig.executor);
    assert_eq!(text(&client).matches("HTTP/1.1 200 OK").count(), 5);
}
