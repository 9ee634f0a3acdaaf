//! Over a stream that holds back what is written until it is flushed, as TLS may: nothing stays unsent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use adieu::http::http_types::{Body, Request, Response, Result, StatusCode};
use adieu::http::{Exchange, Handler, Http};
use adieu::testing::{MemoryListener, MemoryStream, Network, memory, settle};
use adieu::{Connection, Listener, Peer, Protocol, Server, Signal, Stream, Tcp};
use futures_lite::io::BufReader;
use futures_lite::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::answers::Pieces;
use crate::reader::answers;
use crate::rig::{Rig, text};
use crate::web::{get, post};

struct Holding(MemoryListener);

/// A stream that writes nothing before it is flushed.
struct HoldsBack {
    stream: MemoryStream,
    held: Vec<u8>,
}

impl Listener for Holding {
    type Stream = HoldsBack;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(HoldsBack, Peer)>> {
        let accepted = self.0.poll_accept(cx);
        accepted.map_ok(|(stream, peer)| (HoldsBack { stream, held: Vec::new() }, peer))
    }

    fn address(&self) -> String {
        self.0.address()
    }
}

impl AsyncRead for HoldsBack {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for HoldsBack {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.held.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let HoldsBack { stream, held } = &mut *self;
        while !held.is_empty() {
            let amount = ready!(Pin::new(&mut *stream).poll_write(cx, held))?;
            held.drain(..amount);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Poll::Ready(self.half_close())
    }
}

impl Stream for HoldsBack {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_readable(cx)
    }

    fn half_close(&self) -> io::Result<()> {
        self.stream.half_close()
    }

    fn reset_on_close(&self, resets: bool) {
        self.stream.reset_on_close(resets);
    }
}

fn serve(protocol: impl Protocol<HoldsBack>) -> (Rig, Network) {
    let (listener, network) = memory();
    let server = Server::new(Holding(listener), protocol);
    (Rig::start(|supervisor| supervisor.service("web", server)), network)
}

/// What a client has received that has sent these, and waited a little after each.
fn receives<Arguments>(handler: impl Handler<Arguments>, sent: &[&str]) -> String {
    let (rig, network) = serve(Http::new(handler));
    let client = network.connect().expect("it listens");
    let mut received = Vec::new();
    for piece in sent {
        client.send(piece.as_bytes());
        settle(&rig.executor);
        received.extend(client.received());
    }
    String::from_utf8(received).expect("text")
}

async fn echo(mut request: Request) -> Result<Response> {
    Ok(request.body_string().await?.into())
}

#[test]
fn no_answer_stays_unsent() {
    let expecting = post("/", "Expect: 100-continue\r\n", "hello");
    let (head, body) = expecting.split_at(expecting.len() - 5);
    let large = "x".repeat(50_000);
    let table: &[(&[&str], &str)] = &[
        (&[&post("/", "", "hello")], "hello"),
        (&[&post("/", "", &large)], &large),
        (&[&(post("/", "", "hello") + &post("/", "", "bye"))], "bye"),
        (&[&post("/", "", "hello"), &post("/", "", "bye")], "bye"),
        (&[&post("/", "Connection: close\r\n", "bye")], "bye"),
        (&[head], "100 Continue\r\n\r\n"),
        (&[head, body], "hello"),
        (&["GET / HTTP/9\r\n\r\n"], "\n"),
        (&["OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n"], "\r\n\r\n"),
    ];
    for (sent, end) in table {
        let received = receives(echo, sent);
        assert!(received.ends_with(end), "{sent:?}: {received:?}");
        answers(received.as_bytes(), |_| false).expect("well-formed answers");
    }
}

#[test]
fn each_piece_of_an_answer_is_sent_when_it_comes() {
    for (request, ends) in [(get("/", ""), false), ("GET / HTTP/1.0\r\n\r\n".into(), true)] {
        let (sender, receiver) = async_channel::unbounded();
        let (rig, network) = serve(Http::new(move |_: Request| {
            let body = BufReader::new(Pieces(Box::pin(receiver.clone())));
            async move { Ok(Response::from(Body::from_reader(body, None))) }
        }));
        let client = network.connect().expect("it listens");
        client.send(request.as_bytes());
        for piece in ["one", "two"] {
            sender.try_send(Ok(piece)).expect("it is read");
            settle(&rig.executor);
            let received = text(&client);
            assert!(received.trim_end().ends_with(piece), "{received:?}");
        }
        sender.close();
        settle(&rig.executor);
        assert_eq!(client.is_closed(), ends);
        assert!(ends || client.received() == b"0\r\n\r\n");
    }
}

#[test]
fn what_a_handler_writes_last_is_sent() {
    let tcp = Tcp::new(async |stream: &mut HoldsBack, connection: &Connection| {
        connection.shutdown().begun().await;
        stream.write_all(b"goodbye").await
    });
    let (rig, network) = serve(tcp);
    let client = network.connect().expect("it listens");
    settle(&rig.executor);
    rig.signal(Signal::Term);
    assert_eq!(client.received(), b"goodbye");
    assert!(client.is_closed() && !client.is_reset());

    let http = Http::new(async |_: Request, exchange: Exchange| {
        let mut response = Response::new(StatusCode::SwitchingProtocols);
        response.insert_header("upgrade", "goodbye");
        let upgraded = response.recv_upgrade().await;
        exchange.spawn(async move {
            let mut stream = upgraded.await.expect("upgraded");
            stream.write_all(b"goodbye").await.expect("it is there");
        });
        Result::Ok(response)
    });
    let (rig, network) = serve(http);
    let client = network.connect().expect("it listens");
    client.send(get("/", "Connection: upgrade\r\nUpgrade: goodbye\r\n").as_bytes());
    settle(&rig.executor);
    assert!(client.received().ends_with(b"\r\n\r\ngoodbye"));
    assert!(client.is_gone() && !client.is_reset());
}

#[test]
fn a_client_that_takes_nothing_of_what_is_flushed_is_cut_off() {
    let (rig, network) = serve(Http::new(|_: Request| async { Ok("x".repeat(1000).into()) }));
    let client = network.connect_with_capacity(100).expect("it listens");
    client.send(get("/", "").as_bytes());
    // The five seconds that each answer has, and those of the bytes that the stream has taken.
    rig.pass(Duration::from_secs(9));
    assert!(!client.is_gone());
    rig.pass(Duration::from_secs(1));
    assert!(client.is_gone());
}
