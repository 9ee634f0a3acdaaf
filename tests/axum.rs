//! axum as people use it: the example, and real clients of it, which all see the drain end well.
#![cfg(all(feature = "bin", feature = "hyper"))]

mod child;

use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::{Error, Message};
use async_tungstenite::{WebSocketStream, client_async};
use child::bound::{self, Process};
use child::tools::tool;
use child::{Server, answer, ask, example};
use futures_lite::StreamExt;
use smol::Async;

/// With nothing to wait for, the end takes a moment. The machine may be busy.
const MOMENT: Duration = Duration::from_secs(5);

fn start() -> (Server, SocketAddr) {
    let mut command = example("axum");
    command.args(["--listen", "127.0.0.1:0"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let mut server = Server::spawn(&mut command);
    let address = server.listening();
    (server, address)
}

/// The server ends at once, and well.
fn ends_well(server: Server) {
    let began = Instant::now();
    server.signal(libc::SIGTERM);
    let (code, said, _) = server.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with("a graceful bye\n") && began.elapsed() < MOMENT, "{said}");
}

#[test]
fn a_stream_of_events_with_keep_alive_ends_well_at_a_real_client() {
    let Some(curl) = tool("curl", "curl") else { return };
    let (server, address) = start();
    let mut curl = Command::new(curl);
    curl.args(["-sSN", "--http1.1", &format!("http://{address}/events")]);
    let mut client = Process::spawn(curl.stdout(Stdio::piped())).expect("curl runs");
    let heard = client.stdout.as_mut().expect("it is piped");
    // The second one comes by tokio's clock.
    assert_eq!(heard.wait_for("data: 1"), "data: 1");
    ends_well(server);
    let status = client.wait();
    let said = client.stderr.as_mut().map(|it| it.so_far());
    assert!(status.success(), "the last chunk came: {said:?}");
}

type Socket = WebSocketStream<Async<TcpStream>>;

async fn open(address: SocketAddr) -> Socket {
    let stream = Async::<TcpStream>::connect(address).await.expect("it listens");
    let (socket, _) = client_async(format!("ws://{address}/ws"), stream).await.expect("it opens");
    socket
}

#[test]
fn a_websocket_is_told_1001_and_awaited() {
    let (server, address) = start();
    bound::block_on(async {
        let mut socket = open(address).await;
        socket.send(Message::text("hello")).await.expect("it is open");
        assert_eq!(
            socket.next().await.expect("an echo").expect("it is open"),
            Message::text("hello")
        );
        server.signal(libc::SIGTERM);
        let goodbye = socket.next().await.expect("a goodbye").expect("it is open");
        let Message::Close(Some(goodbye)) = goodbye else { panic!("{goodbye}") };
        assert_eq!(goodbye.code, CloseCode::Away);
        let end = socket.next().await;
        assert!(matches!(end, None | Some(Err(Error::ConnectionClosed))), "{end:?}");
    });
    let (code, said, _) = server.end();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_websocket_that_never_answers_is_cut_off_and_named() {
    let (server, address) = start();
    let said = bound::block_on(async {
        let socket = open(address).await;
        server.signal(libc::SIGQUIT);
        let (_, said, _) = smol::unblock(|| server.end()).await;
        drop(socket);
        said
    });
    assert!(
        said.contains("cut off: axum: 127.0.0.1:") && said.contains(" upgraded for "),
        "{said}"
    );
}

#[test]
fn a_time_limit_of_tower_answers_for_a_slow_handler_and_files_are_served() {
    let (server, address) = start();
    let get = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        answer(&mut ask(address, request.as_bytes()))
    };
    let slow = get("/slow");
    assert!(slow.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{slow}");
    let file = get("/files/rustfmt.toml");
    assert!(file.starts_with("HTTP/1.1 200 OK\r\n"), "{file}");
    assert!(file.ends_with(include_str!("../rustfmt.toml")), "{file}");
    ends_well(server);
}
