//! An answer that was cut does not look whole, and one that is whole does not stay in a buffer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use adieu::http::http_types::{Body, Request, Response, Result};
use adieu::http::{Exchange, Http};
use adieu::testing::{MemoryListener, MemoryStream, memory, settle};
use adieu::{Connection, Listener, Peer, Server, Signal, Stream, Supervisor, Tcp};
use futures_lite::io::{AsyncRead, AsyncWrite, BufReader, Cursor};
use futures_lite::{AsyncReadExt, AsyncWriteExt, future};

use crate::rig::{Rig, run_with};

const OLD_GET: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

/// A body of unknown length that says "hello " and then goes on as `then` says.
struct Broken {
    said: bool,
    then: Then,
}

#[derive(Clone, Copy)]
enum Then {
    End,
    Wait,
    Fail,
    Panic,
}

impl AsyncRead for Broken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if !std::mem::replace(&mut self.said, true) {
            buf[..6].copy_from_slice(b"hello ");
            return Poll::Ready(Ok(6));
        }
        match self.then {
            Then::End => Poll::Ready(Ok(0)),
            Then::Wait => Poll::Pending,
            Then::Fail => Poll::Ready(Err(io::Error::other("no more"))),
            Then::Panic => panic!("on purpose"),
        }
    }
}

fn http(then: Then) -> Http {
    Http::new(move |_: Request| async move {
        let body = BufReader::new(Broken { said: false, then });
        Result::<Response>::Ok(Body::from_reader(body, None).into())
    })
}

#[test]
fn an_answer_that_ends_with_the_close_and_is_cut_ends_with_a_reset() {
    for (then, is_whole) in
        [(Then::End, true), (Then::Wait, false), (Then::Fail, false), (Then::Panic, false)]
    {
        let (listener, network) = memory();
        let rig = Rig::start(|s| s.service("web", Server::new(listener, http(then))));
        let client = network.connect().unwrap();
        client.send(OLD_GET);
        settle(&rig.executor);
        // What came before a reset may be lost with it.
        let came = client.received();
        assert!(is_whole || came.is_empty() || came.ends_with(b"hello "));
        rig.signal(Signal::Term);
        rig.pass(Duration::from_secs(10));
        assert!(client.is_gone());
        assert_eq!(client.is_reset(), !is_whole);
        assert!(!is_whole || came.ends_with(b"hello "));
        rig.report();
    }
}

#[test]
fn an_answer_that_a_client_takes_too_slowly_ends_with_a_reset() {
    let (listener, network) = memory();
    let http = Http::new(|_: Request| async {
        let body = BufReader::new(futures_lite::io::repeat(b'x').take(1_000_000));
        Result::<Response>::Ok(Body::from_reader(body, None).into())
    });
    let rig = Rig::start(|s| s.service("web", Server::new(listener, http)));
    let client = network.connect_with_capacity(1000).unwrap();
    client.send(OLD_GET);
    rig.pass(Duration::from_secs(31));
    assert!(client.is_gone() && client.is_reset());
}

#[test]
fn raw_tcp_that_is_cut_off_or_fails_ends_with_a_reset() {
    for (word, is_whole) in [("end", true), ("wait", false), ("fail", false), ("panic", false)] {
        let (listener, network) = memory();
        let talk = async |stream: &mut MemoryStream, _: &Connection| {
            let mut word = [0; 10];
            let amount = stream.read(&mut word).await?;
            stream.write_all(b"hello ").await?;
            match &word[..amount] {
                b"end" => Ok(()),
                b"wait" => future::pending().await,
                b"fail" => Err(io::Error::other("no more")),
                _ => panic!("on purpose"),
            }
        };
        let rig = Rig::start(|s| s.service("raw", Server::new(listener, Tcp::new(talk))));
        let client = network.connect().unwrap();
        client.send(word.as_bytes());
        settle(&rig.executor);
        rig.signal(Signal::Term);
        rig.pass(Duration::from_secs(10));
        assert!(client.is_gone());
        assert_eq!(client.is_reset(), !is_whole, "{word}");
        rig.report();
    }
}

/// The same over real sockets: the client of a server whose deadline passes sees ECONNRESET.
#[test]
fn a_client_over_tcp_can_tell_that_an_answer_was_cut_off() {
    let server =
        |then| Server::new(adieu::SocketListener::bind("127.0.0.1:0").unwrap(), http(then));
    for (then, is_whole) in [(Then::End, true), (Then::Wait, false)] {
        let server = server(then);
        let address = server.listener().local_addr().unwrap();
        let supervisor = Supervisor::new().service("web", server).grace(Duration::ZERO);
        let trigger = supervisor.trigger();
        let client = async move {
            let mut stream = smol::net::TcpStream::connect(address).await?;
            stream.write_all(OLD_GET).await?;
            let mut answer = Vec::new();
            while !answer.ends_with(b"hello ") {
                let mut byte = [0];
                stream.read_exact(&mut byte).await?;
                answer.push(byte[0]);
            }
            trigger.shut_down();
            stream.read(&mut [0]).await
        };
        let (end, report) = run_with(supervisor, client);
        match is_whole {
            true => assert_eq!(end.unwrap(), 0),
            false => assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset),
        }
        assert_eq!(report.exit_status(), if is_whole { 0 } else { 124 });
    }
}

// ---------------------------------------------------------------- buffers

/// Passes on what is written only when it is flushed, as a TLS stream may.
struct Buffering {
    inner: MemoryStream,
    kept: Vec<u8>,
}

impl AsyncRead for Buffering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Buffering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.kept.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while !this.kept.is_empty() {
            match Pin::new(&mut this.inner).poll_write(cx, &this.kept)? {
                Poll::Ready(amount) => drop(this.kept.drain(..amount)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl Stream for Buffering {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_readable(cx)
    }

    fn half_close(&self) -> io::Result<()> {
        self.inner.half_close()
    }
}

struct BufferingListener(MemoryListener);

impl Listener for BufferingListener {
    type Stream = Buffering;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Buffering, Peer)>> {
        let wrap = |(inner, peer)| (Buffering { inner, kept: Vec::new() }, peer);
        self.0.poll_accept(cx).map_ok(wrap)
    }

    fn address(&self) -> String {
        self.0.address()
    }
}

#[test]
fn no_answer_stays_in_a_stream_that_buffers() {
    let (listener, network) = memory();
    let http = Http::new(|_: Request, exchange: Exchange| async move {
        let size: usize = exchange.target()[1..].parse().unwrap();
        let body = BufReader::new(Cursor::new(vec![b'x'; size]));
        Result::<Response>::Ok(Body::from_reader(body, Some(size)).into())
    });
    let server = Server::new(BufferingListener(listener), http);
    let rig = Rig::start(|s| s.service("web", server));
    for size in [0, 1, 100, 100_000] {
        let client = network.connect_with_capacity(1 << 20).unwrap();
        client.send(format!("GET /{size} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
        settle(&rig.executor);
        let answer = client.received();
        let body = answer.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
        assert_eq!(answer.len() - body, size);
    }
}

#[test]
fn no_byte_of_raw_tcp_stays_in_a_stream_that_buffers() {
    let (listener, network) = memory();
    let talk = async |stream: &mut Buffering, _: &Connection| stream.write_all(b"hello").await;
    let server = Server::new(BufferingListener(listener), Tcp::new(talk));
    let rig = Rig::start(|s| s.service("raw", server));
    let client = network.connect().unwrap();
    settle(&rig.executor);
    assert_eq!(client.received(), b"hello");
    assert!(client.is_closed());
}
