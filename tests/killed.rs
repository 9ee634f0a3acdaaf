//! A server that is killed in the midst of an answer: no code of its own runs any more, and still the client
//! does not take the answer for whole.
#![cfg(feature = "bin")]

mod child;

use std::future::pending;
use std::io::{self, ErrorKind, Read};
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::task::{Context, Poll};
use std::time::Duration;

use adieu::http::Http;
use adieu::http::http_types::{Body, Request, Response};
use adieu::{Connection, Listener, SocketStream, Supervisor, Tcp};
use futures_lite::io::BufReader;
use futures_lite::{AsyncRead, AsyncWriteExt, future, stream};

use child::{Server, ask};

/// Set in the process that is to be killed.
const VICTIM: &str = "ADIEU_TEST_VICTIM";

const HALF: &[u8] = b"the first half";

/// A body that has no second half.
struct Halved(bool);

impl AsyncRead for Halved {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Pending;
        }
        buf[..HALF.len()].copy_from_slice(HALF);
        Poll::Ready(Ok(HALF.len()))
    }
}

/// Not a test, but the server of the one below, which starts this binary once more.
#[test]
fn the_victim() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let http = Http::bind("127.0.0.1:0", |_: Request| async {
        Ok(Response::from(Body::from_reader(BufReader::new(Halved(false)), None)))
    });
    let tcp = Tcp::bind("127.0.0.1:0", async |stream: &mut SocketStream, _: &Connection| {
        stream.write_all(HALF).await?;
        pending().await
    });
    let (http, tcp) = (http.expect("a port is free"), tcp.expect("a port is free"));
    eprintln!("listening on {}", http.listener().address());
    eprintln!("listening on {}", tcp.listener().address());
    let supervisor = Supervisor::new().service("http", http).service("tcp", tcp);
    let run = async { drop(supervisor.run(stream::pending()).await) };
    // Should nobody kill it.
    let bound = async {
        smol::Timer::after(Duration::from_secs(60)).await;
    };
    smol::block_on(future::or(run, bound));
}

#[test]
fn what_a_killed_process_has_half_said_does_not_look_whole() {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["--exact", "the_victim", "--nocapture"]).env(VICTIM, "1").stdout(Stdio::null());
    let mut server = Server::spawn(&mut command);
    let (http, tcp) = (server.listening(), server.listening());
    let mut clients = [ask(http, b"GET / HTTP/1.0\r\n\r\n"), ask(tcp, b"")];
    for client in &mut clients {
        let mut taken = Vec::new();
        while !taken.ends_with(HALF) {
            let mut byte = [0];
            client.read_exact(&mut byte).expect("half an answer");
            taken.extend(byte);
        }
    }
    server.signal(libc::SIGKILL);
    server.wait();
    for mut client in clients {
        let end = client.read(&mut [0]).expect_err("it is no end");
        assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    }
}
