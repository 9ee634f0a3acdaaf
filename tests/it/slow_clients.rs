//! Real clients that take an answer of eight megabytes slowly, over real sockets: it comes whole, or its
//! connection is named and the exit code says so.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use adieu::http::http_types;
use adieu::hyper::hyper::service::service_fn;
use adieu::hyper::hyper::{Request, Response};
use adieu::hyper::{Hyper, RequestBody};
use adieu::{Http, Report, Supervisor, Trigger, Waiting};
use rustix::net::sockopt::set_socket_recv_buffer_size;

use crate::clients;
use crate::rig::run_with;

/// More than the system takes of it at once.
const SIZE: usize = 8_000_000;
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";

/// How long anything here may take.
const BOUND: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Engine {
    Http,
    Hyper,
}

/// Serves it while `client` runs. Whoever asks for `/down` has the shutdown begin with that.
fn with_server<T>(
    engine: Engine,
    grace: Duration,
    client: impl AsyncFnOnce(SocketAddr, Trigger) -> T,
) -> (T, Report) {
    let supervisor = Supervisor::new().grace(grace);
    let (trigger, by_request) = (supervisor.trigger(), supervisor.trigger());
    let answer = move |path: &str| {
        if path == "/down" {
            by_request.shut_down();
        }
        "x".repeat(SIZE)
    };
    let (listener, supervisor) = match engine {
        Engine::Http => {
            let answer = move |request: http_types::Request| {
                std::future::ready(Ok(answer(request.url().path()).into()))
            };
            let server = Http::bind("127.0.0.1:0", answer).expect("a port is free");
            (server.listener().local_addr(), supervisor.service("web", server))
        }
        Engine::Hyper => {
            let answer = service_fn(move |request: Request<RequestBody>| {
                let answer = Response::new(answer(request.uri().path()));
                std::future::ready(Ok::<_, Infallible>(answer))
            });
            let server = Hyper::bind("127.0.0.1:0", answer).expect("a port is free");
            (server.listener().local_addr(), supervisor.service("web", server))
        }
    };
    let address = listener.expect("it is TCP");
    run_with(supervisor, client(address, trigger))
}

/// A client with a small receive buffer, which has asked.
fn ask(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).expect("it listens");
    set_socket_recv_buffer_size(&client, 64 * 1024).expect("it can be made small");
    client.set_read_timeout(Some(BOUND)).expect("it is a time");
    (&client).write_all(GET).expect("it is open");
    client
}

#[test]
fn a_client_with_a_small_buffer_gets_all_of_it_whether_or_not_the_server_shuts_down_meanwhile() {
    for engine in [Engine::Http, Engine::Hyper] {
        for shuts_down in [false, true] {
            let (received, report) = with_server(engine, BOUND, async |address, trigger| {
                // Half of it; then, perhaps, the shutdown; then the rest.
                let (mut client, half) = clients::on_a_thread(move || {
                    let mut client = ask(address);
                    let mut half = vec![0; SIZE / 2];
                    client.read_exact(&mut half).expect("half of it comes");
                    (client, half.len())
                })
                .await;
                if shuts_down {
                    trigger.shut_down();
                }
                let rest = clients::on_a_thread(move || {
                    let mut rest = Vec::new();
                    client.read_to_end(&mut rest).map(|_| rest.len())
                });
                let rest = rest.await.expect("the rest comes");
                trigger.shut_down();
                half + rest
            });
            assert!(received > SIZE, "{engine:?}: {received}");
            assert!(report.is_graceful(), "{engine:?}: {report}");
            assert_eq!(report.services[0].counts.requests, 1);
        }
    }
}

#[test]
fn a_client_that_stops_in_the_middle_is_cut_off_and_named() {
    for engine in [Engine::Http, Engine::Hyper] {
        let grace = Duration::from_millis(300);
        let (_client, report) = with_server(engine, grace, async |address, trigger| {
            let client = clients::on_a_thread(move || {
                let mut client = ask(address);
                client.read_exact(&mut vec![0; SIZE / 4]).expect("a quarter comes");
                client
            });
            let client = client.await;
            trigger.shut_down();
            client
        });
        assert_eq!(report.exit_status(), 124, "{engine:?}: {report}");
        let straggler = report.stragglers[0].connection.as_ref().expect("it is a connection");
        assert_eq!((straggler.request.as_str(), straggler.waits_for), ("GET /", Waiting::Answer));
        assert_eq!(report.services[0].counts.requests, 0, "{engine:?}");
    }
}

/// Runs a client that takes its time, and tells how much of the answer it got.
async fn run(mut command: Command, url: String, trigger: Trigger) -> usize {
    command.arg(url);
    let told = clients::stdout(command).await;
    trigger.shut_down();
    told.bytes().filter(|byte| *byte == b'x').count()
}

#[test]
fn curl_at_a_limited_rate_gets_all_of_it() {
    let Some(curl) = clients::tool("curl", "curl") else { return };
    for (engine, version) in [
        (Engine::Http, "--http1.1"),
        (Engine::Hyper, "--http1.1"),
        (Engine::Hyper, "--http2-prior-knowledge"),
    ] {
        for path in ["/", "/down"] {
            let mut command = Command::new(&curl);
            command.args(["-sS", "--limit-rate", "8M", "--max-time", "20", version]);
            let (taken, report) = with_server(engine, BOUND, async |address, trigger| {
                run(command, format!("http://{address}{path}"), trigger).await
            });
            assert_eq!(taken, SIZE, "{engine:?} {version}: {report}");
            assert!(report.is_graceful(), "{engine:?} {version}: {report}");
        }
    }
}

#[test]
fn nghttp_with_a_small_window_gets_all_of_it() {
    let Some(nghttp) = clients::tool("nghttp", "nghttp2-client") else { return };
    for path in ["/", "/down"] {
        let mut command = Command::new(&nghttp);
        // Windows of 16 KiB, of a stream and of the connection.
        command.args(["--timeout=20", "-w14", "-W14"]);
        let (taken, report) = with_server(Engine::Hyper, BOUND, async |address, trigger| {
            run(command, format!("http://{address}{path}"), trigger).await
        });
        assert_eq!(taken, SIZE, "{report}");
        assert!(report.is_graceful(), "{report}");
    }
}
