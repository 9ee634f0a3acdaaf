//! Connections that go one by one: by their age, or over a lame duck that is spread.

use std::io;
use std::net::TcpStream as StdStream;
use std::time::Duration;

use adieu::http::Http;
use adieu::http::http_types::{Request, Response, Result};
use adieu::testing::{MemoryListener, MemoryStream, Network, memory};
use adieu::{Connection, Protocol, Server, Signal, Supervisor, Tcp, TcpListener};
use futures_lite::AsyncWriteExt;
use rustix::net::sockopt;

use crate::rig::{GET, Rig, ask, connect, text};

const SECOND: Duration = Duration::from_secs(1);

async fn hello(_: Request) -> Result<Response> {
    Ok("hello".into())
}

/// Sends back what comes, and says goodbye at the end.
async fn echo(stream: &mut MemoryStream, connection: &Connection) -> io::Result<()> {
    let mut bytes = Vec::new();
    while connection.read(stream, &mut bytes).await? > 0 {
        stream.write_all(&std::mem::take(&mut bytes)).await?;
    }
    stream.write_all(b"goodbye").await
}

fn serve<P: Protocol<MemoryStream>>(
    protocol: P,
    set_up: impl FnOnce(Supervisor) -> Supervisor,
    limit: impl FnOnce(Server<MemoryListener, P>) -> Server<MemoryListener, P>,
) -> (Rig, Network) {
    let (listener, network) = memory();
    let server = limit(Server::new(listener, protocol));
    (Rig::start(|s| set_up(s.service("web", server))), network)
}

#[test]
fn the_next_answer_on_a_connection_of_age_says_close() {
    let (rig, network) = serve(Http::new(hello), |s| s, |server| server.max_age(10 * SECOND));
    let client = ask(&rig, &network, GET);
    rig.pass(8 * SECOND);
    client.send(GET);
    rig.settle();
    assert!(!text(&client).contains("connection: close"), "it is young");
    rig.pass(4 * SECOND);
    assert!(!client.is_closed(), "an idle connection stays until its next answer");
    client.send(GET);
    rig.settle();
    assert!(text(&client).contains("connection: close\r\n"));
    assert!(client.is_closed());
    assert!(!text(&ask(&rig, &network, GET)).contains("connection: close"), "another is young");
}

#[test]
fn connections_that_came_together_reach_their_age_one_after_the_other() {
    let (rig, network) = serve(Tcp::new(echo), |s| s, |server| server.max_age(100 * SECOND));
    let clients: Vec<_> = (0..50).map(|_| connect(&rig, &network)).collect();
    rig.pass(89 * SECOND);
    let mut gone = Vec::new();
    for _ in 0..22 {
        gone.push(clients.iter().filter(|client| client.is_closed()).count());
        rig.pass(SECOND);
    }
    assert_eq!((gone[0], gone[21]), (0, 50), "ten per cent more or less: {gone:?}");
    let most = gone.windows(2).map(|two| two[1] - two[0]).max();
    assert!(most <= Some(15), "never many at once: {gone:?}");
    assert!(clients.iter().all(|client| text(client) == "goodbye"), "their handlers said so");
}

#[test]
fn a_raw_tcp_handler_that_works_is_told_of_its_age_and_goes_on() {
    let handler = async |stream: &mut MemoryStream, connection: &Connection| {
        connection.asked_to_leave().await;
        assert!(!connection.draining() && connection.leaving());
        stream.write_all(b"wait").await?;
        connection.context().sleep(30 * SECOND).await;
        stream.write_all(b" and see").await
    };
    let (rig, network) = serve(Tcp::new(handler), |s| s, |server| server.max_age(10 * SECOND));
    let client = connect(&rig, &network);
    rig.pass(12 * SECOND);
    assert_eq!(text(&client), "wait");
    rig.pass(31 * SECOND);
    assert_eq!(text(&client), " and see");
    assert!(client.is_closed());
}

#[test]
fn idle_connections_close_evenly_over_a_lame_duck_that_is_spread() {
    for spread in [true, false] {
        let lame = |s: Supervisor| s.grace(20 * SECOND).lame_duck(10 * SECOND).spread(spread);
        let (rig, network) = serve(Http::new(hello), lame, |server| server);
        let clients: Vec<_> = (0..100).map(|_| ask(&rig, &network, GET)).collect();
        rig.signal(Signal::Term);
        let mut gone = Vec::new();
        for _ in 0..10 {
            gone.push(clients.iter().filter(|client| client.is_closed()).count());
            rig.pass(SECOND);
        }
        match spread {
            true => {
                let most = gone.windows(2).map(|two| two[1] - two[0]).max();
                assert!(gone[9] >= 75 && most <= Some(25), "{gone:?}");
            }
            false => assert_eq!(gone, [0; 10], "all at its end"),
        }
        rig.pass(SECOND);
        assert!(clients.iter().all(MemoryStream::is_closed));
        drop(clients);
        rig.pass(SECOND);
        let report = rig.report();
        assert!(report.is_graceful(), "{report}");
        assert_eq!(report.services[0].counts.closed_idle, 100);
    }
}

#[test]
fn a_client_that_comes_in_a_lame_duck_that_is_spread_is_served() {
    let lame = |s: Supervisor| s.lame_duck(5 * SECOND).spread(true);
    let (rig, network) = serve(Http::new(hello), lame, |server| server);
    rig.signal(Signal::Term);
    rig.pass(4 * SECOND);
    let client = connect(&rig, &network);
    rig.pass(SECOND / 2);
    client.send(GET);
    rig.settle();
    assert!(text(&client).ends_with("hello"));
}

#[test]
fn raw_tcp_handlers_are_told_one_after_the_other_if_the_lame_duck_is_spread() {
    let lame = |s: Supervisor| s.lame_duck(5 * SECOND).spread(true);
    let (rig, network) = serve(Tcp::new(echo), lame, |server| server);
    let clients: Vec<_> = (0..50).map(|_| ask(&rig, &network, b"one")).collect();
    rig.signal(Signal::Term);
    rig.pass(2 * SECOND + SECOND / 2);
    let gone = clients.iter().filter(|client| client.is_closed()).count();
    assert!((10..40).contains(&gone), "{gone} of 50 after half of the time");
    rig.pass(3 * SECOND);
    assert!(clients.iter().all(|client| text(client) == "onegoodbye"));
}

#[test]
fn accepted_connections_are_probed_unless_the_listener_is_told_otherwise() {
    for (after, expected) in
        [(None, None), (Some(None), Some(None)), (Some(Some(7)), Some(Some(7)))]
    {
        let listener = TcpListener::bind("127.0.0.1:0").expect("it binds");
        if let Some(after) = after {
            listener.set_keep_alive(after.map(Duration::from_secs)).expect("it is set");
        }
        let address = listener.local_addr();
        let _client = StdStream::connect(address).expect("it listens");
        let mut listener = listener;
        let accepted = std::future::poll_fn(|cx| adieu::Listener::poll_accept(&mut listener, cx));
        let (stream, _) = smol::block_on(accepted).expect("it accepts");
        let is_on = sockopt::socket_keepalive(&stream).expect("it tells");
        let idle = sockopt::tcp_keepidle(&stream).expect("it tells").as_secs();
        match expected {
            None => assert_eq!((is_on, idle), (true, 60)),
            Some(None) => assert!(!is_on),
            Some(Some(seconds)) => assert_eq!((is_on, idle), (true, seconds)),
        }
    }
}
