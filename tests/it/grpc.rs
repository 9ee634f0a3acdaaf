//! gRPC: tonic's services, asked by PyPI's grpcio.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use adieu::hyper::hyper::body::{Body, Bytes, Frame};
use adieu::hyper::hyper::header::HeaderValue;
use adieu::hyper::hyper::{Request, Response};
use adieu::hyper::{Exchange, Hyper, RequestBody};
use adieu::testing::{memory, settle};
use adieu::{Grpc, Listener, Report, Server, Signal, Supervisor, Trigger};
use async_channel::{Receiver, Sender, unbounded};
use futures_lite::Stream;

use crate::bound::Process;
use crate::h2::{self, Client, content, head};
use crate::readiness::{Ask, moody};
use crate::rig::{Rig, run_with};
use crate::{clients, tools};

#[path = "../../examples/proto/mod.rs"]
pub mod proto;

use proto::{Echo, EchoServer};

/// Runs a scenario of the client; when it says "ready", shutdown begins. The other lines, and the report.
fn play(scenario: &str, grace: Duration) -> Option<(Vec<String>, Report)> {
    play_with(Grpc::new().service(EchoServer::new(Echo)), scenario, grace)
}

fn play_with(grpc: Grpc, scenario: &str, grace: Duration) -> Option<(Vec<String>, Report)> {
    let python =
        tools::python(&["grpc", "grpc_health.v1.health"], "grpcio grpcio-health-checking")?;
    let server = grpc.bind("127.0.0.1:0").expect("a port is free");
    let address = server.listener().address();
    let supervisor = Supervisor::new().service("grpc", server).grace(grace);
    let trigger = supervisor.trigger();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/clients/grpc_client.py");
    let mut command = Command::new(python);
    command.args([script, &address, scenario]).stdout(Stdio::piped());
    let client = clients::on_a_thread(move || converse(command, trigger));
    Some(run_with(supervisor, client))
}

fn converse(mut command: Command, trigger: Trigger) -> Vec<String> {
    let mut client = Process::spawn(&mut command).expect("the client can be started");
    let mut said = Vec::new();
    while let Some(line) = client.stdout.as_mut().expect("it is piped").line() {
        match line.as_str() {
            "ready" => trigger.shut_down(),
            _ => said.push(line),
        }
    }
    let errors = client.stderr.as_mut().expect("it is piped").all();
    let errors = String::from_utf8_lossy(&errors);
    assert!(client.wait().success(), "the client failed: {said:?}: {errors}");
    trigger.shut_down();
    said
}

#[test]
fn grpcio_makes_calls_of_every_kind() {
    let Some((said, report)) = play("calls", Duration::from_secs(10)) else { return };
    let wanted = [
        "hello",
        "again again again",
        "abc",
        "x y",
        "UNIMPLEMENTED",
        "UNIMPLEMENTED",
        "DEADLINE_EXCEEDED",
        "INTERNAL",
        "SERVING SERVING NOT_FOUND",
    ];
    assert_eq!(said, wanted);
    assert!(report.is_graceful(), "{report}");
    assert_eq!(report.services[0].counts.panicked, 1);
}

#[test]
fn calls_in_flight_end_well_and_watchers_are_told() {
    let Some((said, report)) = play("drain", Duration::from_secs(10)) else { return };
    let stream = ["stream"; 10].join(" ");
    assert_eq!(said, ["SERVING NOT_SERVING", "unary", &stream, "UNAVAILABLE"]);
    assert!(report.is_graceful(), "{report}");
    assert_eq!(report.services[0].counts.drained, 1);
}

#[test]
fn a_call_that_misses_the_deadline_is_unavailable_and_named() {
    let Some((said, report)) = play("cut", Duration::from_millis(300)) else { return };
    assert_eq!(said, ["UNAVAILABLE"]);
    let straggler = report.stragglers[0].connection.as_ref().expect("it is a connection");
    assert_eq!(straggler.request, "POST /adieu.echo.Echo/Say");
    assert_eq!(report.exit_status(), 124);
}

#[test]
fn reflection_tells_of_services_with_a_thread_of_tokios() {
    if tools::python(&["grpc_reflection"], "grpcio-reflection").is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
    let runtime = runtime.expect("a thread can be started");
    let _entered = runtime.enter();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    let grpc = Grpc::new().service(reflection.build_v1alpha().expect("the set is well-formed"));
    let Some((said, report)) = play_with(grpc, "reflect", Duration::from_secs(10)) else { return };
    assert_eq!(
        said,
        ["grpc.health.v1.Health grpc.reflection.v1alpha.ServerReflection", "Check Watch"]
    );
    assert!(report.is_graceful(), "{report}");
}

/// The service over a network in memory, and a client of it whose streams have this window.
fn in_memory(window: u32) -> (Rig, Client) {
    let (listener, network) = memory();
    let grpc = Grpc::new().service(EchoServer::new(Echo));
    let server = Server::new(listener, Hyper::new(grpc).limits(Grpc::limits()));
    let rig = Rig::start(|supervisor| supervisor.service("grpc", server));
    let client = Client::connect(&network, window);
    settle(&rig.executor);
    (rig, client)
}

fn call(client: &Client, method: &str) {
    let path = format!("/adieu.echo.Echo/{method}");
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    client.request(1, false, &[&head("POST", &path)[..], &fields].concat());
}

/// `Words` of so many bytes of text, as a message of gRPC.
fn words(length: usize) -> Vec<u8> {
    let (mut message, mut rest) = (vec![0x0a], length);
    while rest > 0x7f {
        message.push(rest as u8 & 0x7f | 0x80);
        rest >>= 7;
    }
    message.push(rest as u8);
    message.resize(message.len() + length, b'x');
    let prefix = u32::try_from(message.len()).expect("it is short").to_be_bytes();
    [&[0], &prefix[..], &message].concat()
}

#[test]
fn a_unary_answer_is_whole_however_slowly_it_is_taken() {
    for shuts_down in [false, true] {
        let (rig, mut client) = in_memory(60_000);
        let message = words(900_000);
        call(&client, "Say");
        for piece in message.chunks(16_000) {
            client.data(1, false, piece);
            settle(&rig.executor);
        }
        client.data(1, true, b"");
        settle(&rig.executor);
        let mut frames = client.frames();
        if shuts_down {
            rig.signal(Signal::Term);
        }
        // It takes seven seconds; then come the trailers.
        for _ in 0..message.len() / 60_000 + 1 {
            if content(&frames) == message.len() {
                break;
            }
            assert!(!client.stream.is_gone(), "cut after {} bytes", content(&frames));
            client.widen(0, 60_000);
            client.widen(1, 60_000);
            rig.pass(Duration::from_millis(500));
            frames.extend(client.frames());
        }
        assert!(frames.last().is_some_and(|it| it.kind == h2::HEADERS && it.ends_stream()));
        settle(&rig.executor);
        if !shuts_down {
            rig.signal(Signal::Term);
            client.frames();
            settle(&rig.executor);
        }
        drop(client);
        let report = rig.report();
        assert!(report.is_graceful(), "{report}");
        assert_eq!(report.services[0].counts.requests, 1);
    }
}

#[test]
fn a_stream_of_messages_may_rest() {
    let (rig, mut client) = in_memory(60_000);
    call(&client, "Gather");
    client.data(1, false, &words(3));
    rig.pass(Duration::from_secs(300));
    let early: Vec<_> = client.frames().into_iter().filter(|frame| frame.stream == 1).collect();
    assert_eq!(early, []);
    client.data(1, true, &words(3));
    settle(&rig.executor);
    assert_eq!(content(&client.frames()), words(6).len() + 2, "and how many there were");
}

#[test]
fn many_small_messages_cost_no_connection() {
    let (rig, mut client) = in_memory(60_000);
    call(&client, "Gather");
    let message = words(1);
    for _ in 0..100 {
        (0..100).for_each(|_| client.data(1, false, &message));
        settle(&rig.executor);
    }
    client.data(1, true, b"");
    settle(&rig.executor);
    let frames = client.frames();
    assert!(frames.last().is_some_and(|it| it.kind == h2::HEADERS && it.ends_stream()));
    assert_eq!(content(&frames), words(10_000).len() + 3);
}

/// The health that frames of this stream tell: 1 is SERVING, 2 is NOT_SERVING.
fn health(frames: &[h2::Frame], stream: u32) -> Vec<u8> {
    let told = frames.iter().filter(|frame| frame.kind == h2::DATA && frame.stream == stream);
    let told = told.flat_map(|frame| frame.payload.chunks(7)).filter(|message| !message.is_empty());
    told.map(|message| {
        assert_eq!(message[..6], [0, 0, 0, 0, 2, 8], "a HealthCheckResponse");
        message[6]
    })
    .collect()
}

#[test]
fn health_goes_by_readiness_for_those_who_ask_and_those_who_watch() {
    let (ask, asked) = async_channel::unbounded();
    let (listener, network) = memory();
    let grpc = Grpc::new().service(EchoServer::new(Echo));
    let server = Server::new(listener, Hyper::new(grpc).limits(Grpc::limits()));
    let rig = Rig::start(|supervisor| {
        let supervisor = supervisor.lame_duck(Duration::from_secs(1));
        let moody = move |cx| moody(cx, Some("loading"), asked);
        supervisor.service("grpc", server).service("moody", moody)
    });
    let mut client = Client::connect(&network, 60_000);
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    let begin = |client: &Client, stream, method: &str| {
        let path = format!("/grpc.health.v1.Health/{method}");
        client.request(stream, false, &[&head("POST", &path)[..], &fields].concat());
        // The service of no name: all of them.
        client.data(stream, true, &[0, 0, 0, 0, 0]);
        settle(&rig.executor);
    };
    begin(&client, 1, "Watch");
    assert_eq!(health(&client.frames(), 1), [2]);
    let (hold, let_go) = (|| Ask::Hold("the database is away"), || Ask::LetGo);
    let changes: [&dyn Fn(); 4] = [
        &|| ask.try_send(let_go()).expect("it listens"),
        &|| ask.try_send(hold()).expect("it listens"),
        &|| ask.try_send(let_go()).expect("it listens"),
        &|| rig.send(Signal::Term),
    ];
    for (number, change) in (0..).zip(changes) {
        change();
        settle(&rig.executor);
        let expected = 1 + (number % 2) as u8;
        assert_eq!(health(&client.frames(), 1), [expected], "the watcher, change {number}");
        if number < 3 {
            let stream = 3 + 2 * number;
            begin(&client, stream, "Check");
            assert_eq!(health(&client.frames(), stream), [expected], "the check, {number}");
        }
    }
    // It was NOT_SERVING from the cause on; the drain ends the watch.
    rig.pass(Duration::from_secs(1));
    let last = client.frames();
    assert!(health(&last, 1).is_empty(), "{last:?}");
    assert!(last.iter().any(|frame| frame.stream == 1 && frame.ends_stream()), "{last:?}");
    drop(client);
    assert!(rig.report().is_graceful());
}

/// [`Calls`] over a network in memory, and a client of it whose streams have this window.
fn calls(
    window: u32,
    grpc: Grpc,
    of_run: impl FnOnce(Supervisor) -> Supervisor,
) -> (Rig, Client, Streams) {
    let streams = Streams::default();
    let grpc = grpc.service(Calls(streams.clone()));
    let rig = Rig::serve_with(|supervisor, listener| {
        let server = Server::new(listener, Hyper::new(grpc).limits(Grpc::limits()));
        of_run(supervisor).service("grpc", server)
    });
    let client = Client::connect(&rig.network, window);
    rig.settle();
    (rig, client, streams)
}

/// Where the messages of streams come from.
type Streams = Rc<RefCell<Vec<Sender<Bytes>>>>;

/// A service whose streams a test feeds.
#[derive(Clone)]
struct Calls(Streams);

impl tonic::server::NamedService for Calls {
    const NAME: &'static str = "test.Calls";
}

impl tower_service::Service<Request<RequestBody>> for Calls {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let streams = self.0.clone();
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let exchange = request.extensions().get::<Exchange>().expect("each has one").clone();
            match path.as_str() {
                "/test.Calls/Never" => std::future::pending().await,
                "/test.Calls/Late" => {
                    exchange.sleep(Duration::from_secs(1)).await;
                    let (sender, messages) = unbounded();
                    sender.try_send(MESSAGE).expect("it is open");
                    return Ok(Response::new(tonic::body::Body::new(Messages(Box::pin(messages)))));
                }
                _ => {}
            }
            let (sender, messages) = unbounded();
            streams.borrow_mut().push(sender);
            let mut response = Response::new(tonic::body::Body::new(Messages(Box::pin(messages))));
            let kind = HeaderValue::from_static("application/grpc");
            response.headers_mut().insert("content-type", kind);
            Ok(response)
        })
    }
}

/// The body of an answer.
struct Messages(Pin<Box<Receiver<Bytes>>>);

impl Body for Messages {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let message = self.0.as_mut().poll_next(cx);
        message.map(|message| message.map(|message| Ok(Frame::data(message))))
    }
}

fn begin(client: &Client, stream: u32, method: &str, more: &[(&str, &str)]) {
    let path = format!("/test.Calls/{method}");
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    client.request(stream, true, &[&head("POST", &path)[..], &fields, more].concat());
}

/// The `grpc-status` at the end of a stream, of two digits in Huffman's code (RFC 7541): 4 or 14 here.
fn status(frames: &[h2::Frame], stream: u32) -> Option<u8> {
    let end = frames.iter().find(|frame| frame.stream == stream && frame.ends_stream())?;
    let has = |coded: &[u8]| end.payload.windows(coded.len()).any(|part| part == coded);
    [(&[0x82, 0x0b, 0x5f][..], 14), (&[0x81, 0x6b], 4)]
        .into_iter()
        .find_map(|(coded, number)| has(coded).then_some(number))
}

const MESSAGE: Bytes = Bytes::from_static(b"\0\0\0\0\x01m");

#[test]
fn streams_end_as_unavailable_with_the_drain_if_they_are_asked_to() {
    let (rig, mut client, streams) = calls(60_000, Grpc::new().end_streams(true), |s| s);
    begin(&client, 1, "Stream", &[]);
    rig.settle();
    let messages = streams.borrow()[0].clone();
    messages.try_send(MESSAGE).expect("it is open");
    rig.settle();
    assert_eq!(content(&client.frames()), MESSAGE.len());
    messages.try_send(MESSAGE).expect("it is open");
    rig.signal(Signal::Term);
    let frames = client.frames();
    assert_eq!((content(&frames), status(&frames, 1)), (MESSAGE.len(), Some(14)));
    rig.settle();
    drop(client);
    let report = rig.report();
    assert!(report.is_graceful(), "{report}");
    assert_eq!((report.services[0].counts.requests, report.services[0].counts.drained), (1, 1));
}

#[test]
fn a_call_that_was_not_answered_yet_finishes_though_streams_end() {
    let (rig, mut client, streams) = calls(60_000, Grpc::new().end_streams(true), |s| s);
    begin(&client, 1, "Late", &[]);
    rig.signal(Signal::Term);
    client.frames();
    rig.pass(Duration::from_secs(1));
    let frames = client.frames();
    assert_eq!((content(&frames), status(&frames, 1)), (MESSAGE.len(), None));
    assert!(frames.iter().any(|frame| frame.stream == 1 && frame.ends_stream()));
    assert!(streams.borrow().is_empty());
    drop(client);
    assert!(rig.report().is_graceful());
}

#[test]
fn at_the_deadline_calls_without_an_answer_are_unavailable() {
    let a_second = |supervisor: Supervisor| supervisor.grace(Duration::from_secs(1));
    let (rig, mut client, _) = calls(60_000, Grpc::new(), a_second);
    let ids: Vec<u32> = (0..50).map(|number| 2 * number + 1).collect();
    ids.iter().for_each(|id| begin(&client, *id, "Never", &[]));
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(2));
    let frames = client.frames_unanswered();
    assert_eq!(status(&frames, 1), Some(14));
    // The others say the same in fewer bytes, by numbers of fields that were said before.
    let others: Vec<_> = frames.iter().filter(|frame| frame.stream > 1).collect();
    assert_eq!(others.iter().map(|frame| frame.stream).collect::<Vec<_>>(), ids[1..]);
    assert!(others.iter().all(|it| it.ends_stream() && it.payload == others[0].payload));
    assert_eq!(rig.report().exit_status(), 124);
}

#[test]
fn at_the_deadline_a_stream_ends_as_unavailable() {
    let a_second = |supervisor: Supervisor| supervisor.grace(Duration::from_secs(1));
    let (rig, mut client, streams) = calls(60_000, Grpc::new(), a_second);
    begin(&client, 1, "Stream", &[]);
    rig.settle();
    streams.borrow()[0].try_send(MESSAGE).expect("it is open");
    rig.signal(Signal::Term);
    let mut frames = client.frames();
    assert_eq!((content(&frames), status(&frames, 1)), (MESSAGE.len(), None));
    rig.pass(Duration::from_secs(2));
    frames = client.frames_unanswered();
    assert_eq!(status(&frames, 1), Some(14));
    assert_eq!(rig.report().exit_status(), 124);
}

#[test]
fn at_the_deadline_nothing_is_added_behind_half_a_message() {
    let a_second = |supervisor: Supervisor| supervisor.grace(Duration::from_secs(1));
    let (rig, mut client, streams) = calls(3, Grpc::new(), a_second);
    begin(&client, 1, "Stream", &[]);
    rig.settle();
    streams.borrow()[0].try_send(MESSAGE).expect("it is open");
    rig.signal(Signal::Term);
    let mut frames = client.frames();
    rig.pass(Duration::from_secs(2));
    frames.extend(client.frames_unanswered());
    assert_eq!((content(&frames), status(&frames, 1)), (3, None));
}

#[test]
fn the_time_that_a_client_gives_to_a_call_passes_by_the_clock_of_the_run() {
    let (rig, mut client, _) = calls(60_000, Grpc::new(), |s| s);
    begin(&client, 1, "Never", &[("grpc-timeout", "3S")]);
    rig.settle();
    rig.pass(Duration::from_millis(2_900));
    assert_eq!(status(&client.frames(), 1), None);
    rig.pass(Duration::from_millis(100));
    assert_eq!(status(&client.frames(), 1), Some(4));
}

#[test]
fn in_the_lame_duck_health_is_told_at_once_and_calls_are_answered() {
    let lame = |supervisor: Supervisor| {
        supervisor.grace(Duration::from_secs(10)).lame_duck(Duration::from_secs(5))
    };
    let (rig, mut client, _) = calls(60_000, Grpc::new(), lame);
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    client.request(
        1,
        false,
        &[&head("POST", "/grpc.health.v1.Health/Watch")[..], &fields].concat(),
    );
    client.data(1, true, &[0, 0, 0, 0, 0]);
    rig.settle();
    assert_eq!(health(&client.frames(), 1), [1]);
    rig.signal(Signal::Term);
    assert_eq!(health(&client.frames(), 1), [2], "no time has passed");
    begin(&client, 3, "Late", &[]);
    rig.settle();
    rig.pass(Duration::from_secs(1));
    assert_eq!(content(&client.frames()), MESSAGE.len());
}
