//! Upgrades: the stream is the handler's, the connection is still the supervisor's.

use std::time::Duration;

use adieu::http::Exchange;
use adieu::http::http_types::{Request, Response, Result, StatusCode};
use adieu::testing::MemoryStream;
use adieu::{Signal, State, Stream};
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::{Error, Message};
use async_tungstenite::{WebSocketStream, client_async};
use futures_lite::{AsyncReadExt, AsyncWriteExt, StreamExt, future};
use smol::Task;

use crate::web::{Web, get, post};

#[path = "../../examples/websocket.rs"]
#[allow(dead_code)]
mod websocket;

const UPGRADE: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: shouting\r\n";

/// Shouts back whatever it hears. On `told` it says bye when shutdown begins, else it does not care.
async fn shout(request: Request, exchange: Exchange) -> Result<Response> {
    let path = request.url().path().to_owned();
    let mut response = Response::new(StatusCode::SwitchingProtocols);
    response.insert_header("connection", "upgrade");
    response.insert_header("upgrade", "shouting");
    let upgraded = response.recv_upgrade().await;
    if path == "/dropped" {
        return Ok(response);
    }
    let shutdown = exchange.shutdown().clone();
    exchange.spawn(async move {
        let mut stream = upgraded.await.expect("upgraded");
        let shouting = async {
            // Small, so that early bytes take several reads.
            let mut heard = [0; 3];
            loop {
                let amount = stream.read(&mut heard).await.unwrap();
                if amount == 0 {
                    return;
                }
                assert_ne!(path, "/panics");
                heard.make_ascii_uppercase();
                stream.write_all(&heard[..amount]).await.unwrap();
            }
        };
        if path != "/told" {
            return shouting.await;
        }
        if shutdown.race(shouting).await.is_none() {
            stream.write_all(b"BYE").await.unwrap();
        }
    });
    Ok(response)
}

#[test]
fn the_handler_gets_the_stream_beginning_with_the_early_bytes() {
    let web = Web::serve(shout);
    let client = web.connect();
    client.send(get("/", UPGRADE) + "hello ");
    client.send("world");
    let raw = client.sees().raw;
    let (head, rest) = raw.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert!(head.contains("\r\nconnection: upgrade\r\n"), "{head}");
    assert!(!head.contains("content-length") && !head.contains("transfer-encoding"), "{head}");
    assert_eq!(rest, "HELLO WORLD");
}

#[test]
fn the_server_says_that_it_upgrades_and_the_handler_to_what() {
    for (protocol, status) in [(Some("shouting"), 101), (None, 500)] {
        let web = Web::serve(move |_: Request| async move {
            let mut response = Response::new(StatusCode::SwitchingProtocols);
            protocol.iter().for_each(|protocol| response.append_header("upgrade", *protocol));
            let _upgraded = response.recv_upgrade().await;
            Result::Ok(response)
        });
        let answer = web.ask(get("/", UPGRADE)).one();
        assert_eq!((answer.status, answer.header("upgrade")), (status, protocol));
        assert!(status == 500 || answer.header("connection") == Some("upgrade"));
    }
}

#[test]
fn an_upgraded_connection_has_no_time_limit() {
    let web = Web::serve(shout);
    let client = web.connect();
    client.send(get("/", UPGRADE));
    client.stream.received();
    web.pass(Duration::from_secs(300));
    client.send("still there?");
    assert_eq!(client.stream.received(), b"STILL THERE?");
}

#[test]
fn an_upgraded_connection_ends_when_its_holder_lets_it_go() {
    let web = Web::serve(shout);
    let client = web.connect();
    client.send(get("/dropped", UPGRADE));
    assert_eq!(client.sees().statuses(), [101]);
    assert!(client.is_gone() && !client.stream.is_reset());
}

#[test]
fn an_upgraded_connection_whose_holder_panics_is_reset() {
    let web = Web::serve(shout);
    let client = web.connect();
    client.send(get("/panics", UPGRADE));
    assert_eq!(client.sees().statuses(), [101]);
    client.send("panic");
    assert!(client.is_gone() && client.stream.is_reset());
}

#[test]
fn closing_an_upgraded_stream_half_closes_the_connection() {
    let web = Web::serve(async |_: Request, exchange: Exchange| {
        let mut response = Response::new(StatusCode::SwitchingProtocols);
        response.insert_header("upgrade", "shouting");
        let upgraded = response.recv_upgrade().await;
        exchange.spawn(async move {
            let mut stream = upgraded.await.expect("upgraded");
            stream.write_all(b"OVER").await.unwrap();
            stream.close().await.unwrap();
            stream.read_to_end(&mut Vec::new()).await.unwrap();
        });
        Result::Ok(response)
    });
    let client = web.connect();
    client.send(get("/", UPGRADE));
    assert!(client.sees().raw.ends_with("\r\n\r\nOVER"));
    assert!(client.stream.is_closed() && !client.is_gone());
    client.send("and out");
    assert!(!client.is_gone(), "it is still read");
    client.stream.half_close().unwrap();
    web.settle();
    assert!(client.is_gone());
}

#[test]
fn an_upgraded_connection_is_told_of_the_drain_and_awaited() {
    let web = Web::serve(shout);
    let client = web.connect();
    client.send(get("/told", UPGRADE) + "hello");
    client.stream.received();
    web.rig.signal(Signal::Term);
    assert_eq!(client.stream.received(), b"BYE");
    assert!(client.is_gone() && !client.stream.is_reset());
    let report = web.rig.report();
    assert!(report.is_graceful());
    let counts = &report.service("web").unwrap().counts;
    assert_eq!((counts.requests, counts.drained), (1, 1));
}

#[test]
fn an_upgraded_connection_is_named_and_cut_off_at_the_deadline() {
    let web = Web::serve(shout);
    let client = web.connect();
    client.send(get("/", UPGRADE));
    web.rig.signal(Signal::Term);
    web.pass(Duration::from_secs(9));
    client.send("still there?");
    assert!(client.stream.received().ends_with(b"STILL THERE?"));
    let stream = client.stream;
    web.rig.pass(Duration::from_secs(1));
    let report = web.rig.report();
    // The handler's task, and the connection.
    let [task, connection] = &report.stragglers[..] else { panic!("{report}") };
    assert!(task.to_string().starts_with("web: task spawned at tests/it/upgrade.rs:"), "{task}");
    assert_eq!(connection.connection.as_ref().unwrap().state, State::Upgraded);
    assert_eq!(report.service("web").unwrap().counts.cut_off, 1);
    assert_eq!(report.exit_status(), 124);
    assert!(stream.is_gone() && stream.is_reset(), "it does not look whole");
}

#[test]
fn who_did_not_ask_for_an_upgrade_gets_none() {
    let web = Web::serve(shout);
    let with_body = post("/", UPGRADE, "body");
    let http_1_0 = get("/", UPGRADE).replace("HTTP/1.1", "HTTP/1.0");
    for request in [get("/", ""), get("/", "Upgrade: shouting\r\n"), with_body, http_1_0] {
        assert_eq!(web.ask(&request).one().status, 500, "{request}");
    }
}

/// A WebSocket client whose steps a test waits for.
struct Socket<'a> {
    web: &'a Web,
    socket: Option<WebSocketStream<MemoryStream>>,
}

type Step<T> = Task<(T, WebSocketStream<MemoryStream>)>;

impl<'a> Socket<'a> {
    fn open(web: &'a Web) -> Socket<'a> {
        let stream = web.network.connect().unwrap();
        let opening = web.rig.executor.spawn(client_async("ws://test/", stream));
        web.settle();
        let (socket, response) = done(opening).expect("a handshake");
        assert_eq!(response.status(), 101);
        Socket { web, socket: Some(socket) }
    }

    fn send(&mut self, message: Message) {
        let mut socket = self.socket.take().unwrap();
        let step: Step<_> = self.web.rig.executor.spawn(async move {
            let sent = socket.send(message).await;
            (sent, socket)
        });
        self.finish(step).unwrap();
    }

    fn next(&mut self) -> Option<std::result::Result<Message, Error>> {
        let mut socket = self.socket.take().unwrap();
        let step: Step<_> = self.web.rig.executor.spawn(async move {
            let message = socket.next().await;
            (message, socket)
        });
        self.finish(step)
    }

    fn finish<T>(&mut self, step: Step<T>) -> T {
        self.web.settle();
        let (value, socket) = done(step);
        self.socket = Some(socket);
        value
    }
}

fn done<T>(task: Task<T>) -> T {
    assert!(task.is_finished(), "still waiting");
    future::block_on(task)
}

#[test]
fn the_websocket_example_sends_back_what_it_gets() {
    let web = Web::serve(websocket::handler);
    let mut socket = Socket::open(&web);
    for message in [Message::text("hello"), Message::binary(vec![7; 100_000])] {
        socket.send(message.clone());
        assert_eq!(socket.next().unwrap().unwrap(), message);
    }
}

#[test]
fn the_websocket_example_says_goodbye_when_it_shuts_down() {
    let web = Web::serve(websocket::handler);
    let mut socket = Socket::open(&web);
    web.rig.signal(Signal::Term);
    let Some(Ok(Message::Close(Some(close)))) = socket.next() else { panic!("no Close frame") };
    assert_eq!(close.code, CloseCode::Away);
    assert!(!web.rig.run.is_finished(), "it waits for the client's");
    // Reading on, the client answers, and the server ends the connection.
    assert!(socket.next().is_none());
    assert!(web.rig.report().is_graceful());
}

#[test]
fn the_websocket_example_waits_for_the_clients_goodbye_until_the_deadline() {
    let web = Web::serve(websocket::handler);
    let _silent = Socket::open(&web);
    web.rig.signal(Signal::Term);
    web.pass(Duration::from_secs(10));
    drop(_silent);
    assert_eq!(web.rig.report().exit_status(), 124);
}

#[test]
fn the_websocket_example_refuses_what_is_no_handshake() {
    let web = Web::serve(websocket::handler);
    let answer = web.ask(get("/", "")).one();
    assert_eq!((answer.status, answer.header("upgrade")), (426, Some("websocket")));
}
