//! gRPC: tonic's services, asked by PyPI's grpcio.

use std::process::{Command, Stdio};
use std::time::Duration;

use adieu::hyper::Hyper;
use adieu::testing::{memory, settle};
use adieu::{Grpc, Listener, Report, Server, Signal, Supervisor, Trigger};

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
