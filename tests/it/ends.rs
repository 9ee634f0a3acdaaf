//! Answers over real TCP, to clients that take their time: each arrives whole, or is seen to be cut.
//!
//! The sockets are the system's; the server's time is moved by hand.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use adieu::http::Http;
use adieu::http::http_types::{Body, Request, Response};
use adieu::testing::ManualClock;
use adieu::{
    Connection, Protocol, Report, Server, Signal, SocketListener, SocketStream, Supervisor, Tcp,
};
use async_channel::{Sender, unbounded};
use futures_lite::io::{BufReader, repeat};
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWriteExt, future};
use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
use smol::{Async, Timer};

use crate::bound;
use crate::reader::answers;
use crate::web::get;

pub const SECOND: Duration = Duration::from_secs(1);

/// A client of a server over TCP, with a small buffer so that little is on its way.
pub struct Client {
    stream: Async<TcpStream>,
    clock: ManualClock,
    signals: Sender<Signal>,
}

/// How a client saw the connection end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    Clean,
    Reset,
}

impl Client {
    fn connect(address: SocketAddr, clock: ManualClock, signals: Sender<Signal>) -> Client {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        sockopt::set_socket_recv_buffer_size(&socket, 16 * 1024).unwrap();
        connect(&socket, &address).unwrap();
        Client { stream: Async::new(socket.into()).unwrap(), clock, signals }
    }

    pub async fn send(&mut self, request: &str) {
        self.stream.write_all(request.as_bytes()).await.unwrap();
    }

    /// Closes its side.
    #[cfg(feature = "hyper")]
    pub fn half_close(&self) {
        self.stream.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Signals the server.
    pub fn signal(&self) {
        self.signals.try_send(Signal::Term).unwrap();
    }

    /// Lets so much of the server's time pass.
    pub async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        for _ in 0..10 {
            future::yield_now().await;
        }
    }

    /// Reads until it has so many bytes, or the end.
    pub async fn takes(&mut self, most: usize, taken: &mut Vec<u8>) -> Option<End> {
        let mut buffer = vec![0; most];
        let until = taken.len() + most;
        while taken.len() < until {
            match self.stream.read(&mut buffer[..until - taken.len()]).await {
                Ok(0) => return Some(End::Clean),
                Ok(amount) => taken.extend_from_slice(&buffer[..amount]),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
                    return Some(End::Reset);
                }
            }
        }
        None
    }
}

/// Serves one client over TCP. Tells what it has seen, and how the run has ended.
pub fn serve<T>(
    protocol: impl Protocol<SocketStream>,
    client: impl AsyncFnOnce(Client) -> T,
) -> (T, Report) {
    let listener = SocketListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is TCP");
    let (clock, done) = (ManualClock::new(), Cell::new(false));
    let (signals, received) = unbounded();
    let supervisor = Supervisor::new().clock(clock.clone());
    let supervisor = supervisor.service("web", Server::new(listener, protocol));
    let trigger = supervisor.trigger();
    let client = async {
        let seen = client(Client::connect(address, clock.clone(), signals)).await;
        trigger.shut_down();
        done.set(true);
        seen
    };
    let both = future::zip(client, supervisor.run(received));
    // Only the server is left then, and has something to wait for.
    let time = async {
        loop {
            Timer::after(Duration::from_millis(10)).await;
            if done.get() {
                clock.advance(Duration::from_millis(50));
            }
        }
    };
    let (seen, report) = bound::block_on(future::or(both, time));
    (seen, report.expect("a run that could begin"))
}

/// A client that takes an answer of so many bytes in so much time, with or without a signal in the midst
/// of it.
pub async fn reads_slowly(
    mut client: Client,
    request: &str,
    size: usize,
    takes: Duration,
    signals: bool,
) -> (Vec<u8>, End) {
    const PORTIONS: usize = 100;
    client.send(request).await;
    let mut taken = Vec::new();
    for number in 0.. {
        if let Some(end) = client.takes(size / PORTIONS, &mut taken).await {
            return (taken, end);
        }
        if signals && number == PORTIONS / 5 {
            client.signal();
        }
        client.pass(takes / PORTIONS as u32).await;
    }
    unreachable!("it has an end")
}

/// The sizes and paces of answers: some fit into what the system holds for a slow client, some do not.
pub const SLOW: [(usize, u64, bool); 7] = [
    (4_000_000, 5, false),
    (4_000_000, 5, true),
    (4_000_000, 90, false),
    (4_000_000, 90, true),
    (20_000_000, 90, true),
    (20_000_000, 9, true),
    // It takes a little in each second, and for minutes the system has no room for more.
    (20_000_000, 2000, false),
];

/// An answer is whole, or else its connection is named and the deadline missed.
pub fn judge(whole: bool, report: &Report, (size, takes, signals): (usize, u64, bool)) {
    let case = format!("{size} bytes in {takes} s, with a signal: {signals}");
    assert_eq!(report.is_graceful(), whole, "{case}: {report}");
    if whole {
        return;
    }
    assert!(signals && takes > 10, "{case}: there was time enough");
    assert_eq!((report.exit_status(), report.stragglers.len()), (124, 1), "{case}: {report}");
    assert!(report.stragglers[0].connection.is_some(), "{case}: {report}");
}

#[test]
fn a_slow_reader_of_http_has_the_whole_answer_or_is_named() {
    for slow @ (size, takes, signals) in SLOW {
        for streamed in [false, true] {
            let http = Http::new(move |_: Request| async move {
                let body = BufReader::new(repeat(b'.').take(size as u64));
                Ok(Response::from(Body::from_reader(body, (!streamed).then_some(size))))
            });
            let request = get("/", "Connection: close\r\n");
            let ((taken, end), report) = serve(http, async |client: Client| {
                reads_slowly(client, &request, size, Duration::from_secs(takes), signals).await
            });
            let answer = &answers(&taken, |_| false).expect("well-formed")[0];
            let whole = answer.complete && answer.body.len() == size && end == End::Clean;
            judge(whole, &report, slow);
        }
    }
}

#[test]
fn a_reader_over_tcp_that_takes_nothing_for_the_limit_is_cut_off() {
    const SIZE: u64 = 20_000_000;
    let http = Http::new(|_: Request| async {
        let body = BufReader::new(repeat(b'.').take(SIZE));
        Ok(Response::from(Body::from_reader(body, None)))
    });
    let (taken, report) = serve(http, async |mut client: Client| {
        client.send(&get("/", "")).await;
        let mut taken = Vec::new();
        assert_eq!(client.takes(1000, &mut taken).await, None);
        // The first limit may find that some bytes have come on to the client's system.
        client.pass(31 * SECOND).await;
        client.pass(31 * SECOND).await;
        assert!(client.takes(SIZE as usize, &mut taken).await.is_some(), "it was not cut off");
        taken
    });
    assert!(!answers(&taken, |_| false).expect("well-formed")[0].complete);
    assert!(report.is_graceful());
}

#[test]
fn a_slow_reader_of_raw_tcp_has_all_or_is_reset_and_named() {
    for slow @ (size, takes, signals) in SLOW {
        let tcp = Tcp::new(async move |stream: &mut SocketStream, _: &Connection| {
            stream.write_all(&vec![b'.'; size]).await
        });
        let ((taken, end), report) = serve(tcp, async |client: Client| {
            reads_slowly(client, "", size, Duration::from_secs(takes), signals).await
        });
        assert_eq!(taken.len() == size, end == End::Clean, "{} of {slow:?}", taken.len());
        judge(end == End::Clean, &report, slow);
    }
}

/// What a handler does after the first half of what it has to say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Then {
    Waits,
    Fails,
    Panics,
    Ends,
}

pub const HALF: &[u8] = b"the first half";

impl Then {
    pub fn poll(self) -> Poll<io::Result<usize>> {
        match self {
            Then::Waits => Poll::Pending,
            Then::Fails => Poll::Ready(Err(io::Error::other("no second half"))),
            Then::Panics => panic!("no second half"),
            Then::Ends => Poll::Ready(Ok(0)),
        }
    }
}

/// A body that does so. It waits a little between, so that the half leaves alone.
struct Halved {
    then: Then,
    said: u8,
}

impl AsyncRead for Halved {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.said += 1;
        match self.said {
            1 => {
                buf[..HALF.len()].copy_from_slice(HALF);
                Poll::Ready(Ok(HALF.len()))
            }
            2 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            _ => self.then.poll(),
        }
    }
}

/// Takes the first half, has the server wait until it must go if that is what `then` is, and tells the end.
pub async fn sees_half(mut client: Client, request: &str, then: Then) -> (Vec<u8>, Option<End>) {
    client.send(request).await;
    let mut taken = Vec::new();
    while !taken.ends_with(HALF) {
        if let Some(end) = client.takes(1, &mut taken).await {
            return (taken, Some(end));
        }
    }
    if then == Then::Waits {
        client.signal();
        client.pass(Duration::ZERO).await;
        client.pass(11 * SECOND).await;
    }
    let end = client.takes(1, &mut taken).await;
    (taken, end)
}

#[test]
fn an_http_1_0_answer_that_is_cut_is_reset() {
    for then in [Then::Waits, Then::Fails, Then::Panics, Then::Ends] {
        let http = Http::new(move |_: Request| async move {
            let body = BufReader::new(Halved { then, said: 0 });
            Ok(Response::from(Body::from_reader(body, None)))
        });
        let ((taken, end), report) = serve(http, async |client: Client| {
            sees_half(client, "GET / HTTP/1.0\r\n\r\n", then).await
        });
        let expected = if then == Then::Ends { End::Clean } else { End::Reset };
        assert_eq!(end, Some(expected), "{then:?}: {}", taken.escape_ascii());
        assert_eq!(report.is_graceful(), then != Then::Waits, "{then:?}: {report}");
    }
}

#[test]
fn raw_tcp_that_is_cut_is_reset() {
    for then in [Then::Waits, Then::Fails, Then::Panics, Then::Ends] {
        let tcp = Tcp::new(async move |stream: &mut SocketStream, _: &Connection| {
            stream.write_all(HALF).await?;
            future::yield_now().await;
            poll_fn(|_| then.poll()).await.map(drop)
        });
        let ((taken, end), report) =
            serve(tcp, async |client: Client| sees_half(client, "", then).await);
        let expected = if then == Then::Ends { End::Clean } else { End::Reset };
        assert_eq!(end, Some(expected), "{then:?}: {}", taken.escape_ascii());
        assert_eq!(report.is_graceful(), then != Then::Waits, "{then:?}: {report}");
    }
}
