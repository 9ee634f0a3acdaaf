//! gRPC: tonic's services, asked by PyPI's grpcio.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::bound::Process;
use crate::rig::run_with;
use crate::{clients, tools};
use adieu::{Grpc, Listener, Report, Supervisor, Trigger};

#[path = "../../examples/proto/mod.rs"]
mod proto;

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
