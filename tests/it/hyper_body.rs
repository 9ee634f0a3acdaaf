//! Request bodies of the `hyper` feature: their limits in size and time, over both versions of HTTP, and
//! what a client can have the server keep of them.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use adieu::hyper::hyper::body::{Body, Bytes, Frame};
use adieu::hyper::hyper::service::service_fn;
use adieu::hyper::hyper::{Request, Response};
use adieu::hyper::{BodyError, Exchange, Hyper, Limits, RequestBody};
use adieu::testing::{MemoryStream, Network, memory, settle};
use adieu::{Server, Signal, Stream, Waiting};

use async_channel::{Receiver, Sender};

use crate::h2::{self, Client, content, head};
use crate::rig::Rig;

const SECOND: Duration = Duration::from_secs(1);

/// What a service does with a request: it has its path, and its body.
struct Seen {
    asked: Cell<usize>,
    read: Cell<usize>,
    errors: RefCell<Vec<String>>,
    /// Lets those handlers go on that wait for it.
    go: (Sender<()>, Receiver<()>),
}

/// An answer's body: nothing, or the request's body as it comes.
enum Echo {
    Nothing,
    Body(RequestBody),
}

impl Body for Echo {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Echo::Nothing => Poll::Ready(None),
            Echo::Body(body) => Pin::new(body).poll_frame(cx),
        }
    }
}

async fn serve(
    request: Request<RequestBody>,
    seen: Rc<Seen>,
) -> Result<Response<Echo>, Infallible> {
    seen.asked.set(seen.asked.get() + 1);
    let exchange = request.extensions().get::<Exchange>().cloned().expect("each has one");
    match request.uri().path() {
        "/echo" => return Ok(Response::new(Echo::Body(request.into_body()))),
        // Reads nothing until shutdown begins.
        "/late" => exchange.shutdown().begun().await,
        "/go" => seen.go.1.recv().await.expect("it is told"),
        "/go_and_drop" => {
            seen.go.1.recv().await.expect("it is told");
            drop(request);
            exchange.shutdown().begun().await;
            return Ok(Response::new(Echo::Nothing));
        }
        "/drop" => {
            drop(request);
            exchange.shutdown().begun().await;
            return Ok(Response::new(Echo::Nothing));
        }
        _ => {}
    }
    let mut body = pin!(request.into_body());
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        match frame {
            Ok(frame) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                seen.read.set(seen.read.get() + length);
            }
            Err(error) => seen.errors.borrow_mut().push(error.to_string()),
        }
    }
    Ok(Response::new(Echo::Nothing))
}

struct Uploads {
    rig: Rig,
    network: Network,
    seen: Rc<Seen>,
}

impl Uploads {
    fn start() -> Uploads {
        Uploads::within(Limits::default())
    }

    fn within(limits: Limits) -> Uploads {
        let (listener, network) = memory();
        let (asked, read) = (Cell::default(), Cell::default());
        let (errors, go) = (RefCell::default(), async_channel::unbounded());
        let seen = Rc::new(Seen { asked, read, errors, go });
        let told = seen.clone();
        let service = service_fn(move |request| serve(request, told.clone()));
        let server = Server::new(listener, Hyper::new(service)).limits(limits);
        let rig = Rig::start(|supervisor| supervisor.service("web", server));
        Uploads { rig, network, seen }
    }

    fn settle(&self) {
        settle(&self.rig.executor);
    }

    /// A client that has begun a request over HTTP/1.1.
    fn http1(&self, begun: &str) -> MemoryStream {
        let client = self.network.connect().expect("it listens");
        client.send(begun.as_bytes());
        self.settle();
        client
    }

    fn http2(&self) -> Client {
        let client = Client::connect(&self.network, 1 << 20);
        self.settle();
        client
    }

    fn errors(&self) -> Vec<String> {
        self.seen.errors.take()
    }
}

fn post(path: &str, length: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n")
}

fn received(client: &MemoryStream) -> String {
    String::from_utf8(client.received()).expect("it is text")
}

/// The status of the answer to a stream.
fn status(frames: &[h2::Frame], stream: u32) -> Option<u16> {
    let mut frames = frames.iter().filter(|it| it.kind == h2::HEADERS && it.stream == stream);
    frames.next().map(h2::Frame::status)
}

fn reset(frames: &[h2::Frame], stream: u32) -> Option<u32> {
    let mut frames = frames.iter().filter(|it| it.kind == h2::RST_STREAM && it.stream == stream);
    frames.next().map(h2::Frame::error)
}

#[test]
fn a_body_that_stalls_is_answered_with_408_after_thirty_seconds() {
    let uploads = Uploads::within(Limits { body_rate: 0, ..Limits::default() });
    let one = uploads.http1(&(post("/", 10) + "half "));
    let mut two = uploads.http2();
    two.post(1, "/");
    two.data(1, false, b"half ");
    uploads.settle();
    uploads.rig.pass(25 * SECOND);
    // A byte, and the time begins anew.
    one.send(b"b");
    two.data(1, false, b"b");
    uploads.rig.pass(29 * SECOND);
    assert_eq!((received(&one).as_str(), status(&two.frames(), 1)), ("", None));
    uploads.rig.pass(2 * SECOND);
    let told = received(&one);
    assert!(told.starts_with("HTTP/1.1 408 ") && told.contains("connection: close\r\n"), "{told}");
    assert!(one.is_closed());
    let frames = two.frames();
    // The answer is whole, and the rest of the body is not wanted (RFC 9113, 8.1).
    assert_eq!((status(&frames, 1), reset(&frames, 1)), (Some(408), Some(h2::NO_ERROR)));
    assert_eq!(uploads.errors(), ["the request body took too long"; 2]);
    assert!(!two.stream.is_closed());
}

#[test]
fn a_body_that_stalls_does_not_hold_the_drain_to_the_deadline() {
    for is_http2 in [false, true] {
        let uploads = Uploads::within(Limits { body_time: 3 * SECOND, ..Limits::default() });
        let (one, mut two) = match is_http2 {
            false => (Some(uploads.http1(&(post("/", 10) + "half "))), None),
            true => {
                let client = uploads.http2();
                client.post(1, "/");
                client.data(1, false, b"half ");
                (None, Some(client))
            }
        };
        uploads.settle();
        uploads.rig.signal(Signal::Term);
        two.iter_mut().for_each(|client| drop(client.frames()));
        uploads.rig.pass(3 * SECOND);
        uploads.rig.pass(SECOND);
        drop((one, two));
        let report = uploads.rig.report();
        assert!(report.is_graceful(), "{report}");
        assert_eq!((report.services[0].counts.statuses[3], report.took < 5 * SECOND), (1, true));
    }
}

#[test]
fn whoever_waits_for_a_body_says_so() {
    for is_http2 in [false, true] {
        let uploads = Uploads::within(Limits { body_rate: 0, ..Limits::default() });
        let clients = match is_http2 {
            false => (Some(uploads.http1(&post("/it", 10))), None),
            true => {
                let client = uploads.http2();
                client.post(1, "/it");
                (None, Some(client))
            }
        };
        uploads.settle();
        uploads.rig.signal(Signal::Term);
        uploads.rig.pass(11 * SECOND);
        drop(clients);
        let report = uploads.rig.report();
        let straggler = report.stragglers[0].connection.as_ref().expect("it is a connection");
        assert_eq!((straggler.request.as_str(), straggler.waits_for), ("POST /it", Waiting::Body));
    }
}

#[test]
fn a_body_has_no_time_limit_while_nobody_waits_for_it() {
    let uploads = Uploads::start();
    let one = uploads.http1(&post("/late", 4));
    let mut two = uploads.http2();
    two.post(1, "/late");
    uploads.settle();
    uploads.rig.pass(100 * SECOND);
    one.send(b"late");
    two.data(1, true, b"late");
    uploads.rig.signal(Signal::Term);
    assert!(received(&one).starts_with("HTTP/1.1 200 "));
    assert_eq!(status(&two.frames(), 1), Some(200));
    assert_eq!(uploads.seen.read.get(), 8);
}

#[test]
fn a_handler_that_begins_to_read_late_waits_for_no_longer() {
    for is_http2 in [false, true] {
        let uploads = Uploads::start();
        let (one, mut two) = match is_http2 {
            false => (Some(uploads.http1(&post("/go", 10))), None),
            true => {
                let client = uploads.http2();
                client.post(1, "/go");
                uploads.settle();
                (None, Some(client))
            }
        };
        two.iter_mut().for_each(|client| drop(client.frames()));
        uploads.rig.pass(50 * SECOND);
        uploads.seen.go.0.try_send(()).expect("there is room");
        uploads.rig.pass(31 * SECOND);
        assert_eq!(uploads.errors(), ["the request body took too long"]);
        drop((one, two));
    }
}

#[test]
fn a_body_that_says_it_is_too_large_is_refused_before_the_service_is_asked() {
    let uploads = Uploads::within(Limits { body_size: 10, ..Limits::default() });
    let one = uploads.http1(&(post("/", 11) + "eleven byte"));
    let mut two = uploads.http2();
    let length = [&head("POST", "/")[..], &[("content-length", "11")]].concat();
    two.request(1, false, &length);
    uploads.settle();
    let told = received(&one);
    assert!(told.starts_with("HTTP/1.1 413 ") && told.contains("connection: close\r\n"), "{told}");
    let frames = two.frames();
    assert_eq!((status(&frames, 1), reset(&frames, 1)), (Some(413), Some(h2::NO_ERROR)));
    assert_eq!(uploads.seen.asked.get(), 0);
}

#[test]
fn a_body_that_turns_out_too_large_is_answered_with_413() {
    let uploads = Uploads::within(Limits { body_size: 10, ..Limits::default() });
    let one = uploads.http1("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut two = uploads.http2();
    two.post(1, "/");
    for _ in 0..2 {
        one.send(b"6\r\nsix by\r\n");
        two.data(1, false, b"six by");
        uploads.settle();
    }
    let told = received(&one);
    assert!(told.starts_with("HTTP/1.1 413 ") && told.contains("connection: close\r\n"), "{told}");
    let frames = two.frames();
    assert_eq!((status(&frames, 1), reset(&frames, 1)), (Some(413), Some(h2::NO_ERROR)));
    assert_eq!(uploads.errors(), ["the request body is too large"; 2]);
    // As large as it may be.
    two.post(3, "/");
    two.data(3, true, b"ten bytes!");
    uploads.settle();
    assert_eq!(status(&two.frames(), 3), Some(200));
}

#[test]
fn once_the_answer_has_begun_its_reader_hears_of_the_limit() {
    for limits in [
        Limits { body_size: 10, ..Limits::default() },
        Limits { body_time: SECOND, ..Limits::default() },
    ] {
        let uploads = Uploads::within(limits);
        let one = uploads
            .http1("POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut two = uploads.http2();
        two.post(1, "/echo");
        for _ in 0..2 {
            one.send(b"6\r\nsix by\r\n");
            two.data(1, false, b"six by");
            uploads.settle();
        }
        uploads.rig.pass(2 * SECOND);
        let told = received(&one);
        assert!(told.starts_with("HTTP/1.1 200 ") && !told.ends_with("0\r\n\r\n"), "{told}");
        assert!(one.is_closed());
        let frames = two.frames();
        assert_eq!((status(&frames, 1), reset(&frames, 1)), (Some(200), Some(h2::INTERNAL_ERROR)));
        assert!(frames.iter().all(|frame| !frame.ends_stream()));
    }
}

#[test]
fn a_body_that_breaks_off_is_answered_with_400() {
    let uploads = Uploads::start();
    let one = uploads.http1(&(post("/", 10) + "half"));
    one.half_close().expect("it is open");
    uploads.settle();
    assert!(received(&one).starts_with("HTTP/1.1 400 "));
    assert_eq!(uploads.errors(), ["the request body did not arrive whole"]);
}

#[test]
fn a_flood_of_small_frames_is_kept_in_no_more_memory_than_its_window() {
    let uploads = Uploads::start();
    let mut client = uploads.http2();
    client.post(1, "/late");
    let mut frames = Vec::new();
    for number in 1..=49_000 {
        client.padded(1, false, b"x");
        if number % 500 == 0 {
            uploads.settle();
            frames.extend(client.frames());
        }
    }
    let given_up = frames.iter().find(|frame| frame.kind == h2::GOAWAY);
    assert_eq!(given_up, None);
    client.data(1, true, b"");
    uploads.settle();
    // Its padding was given back at once, its content was not.
    assert!(widened(&frames, 1) <= 49_000 * 256);
    uploads.rig.signal(Signal::Term);
    assert_eq!((uploads.seen.read.get(), uploads.errors()), (49_000, Vec::new()));
    assert_eq!(status(&client.frames(), 1), Some(200));
}

/// How much may be sent on a stream, or with 0 on the connection, by these frames.
fn widened(frames: &[h2::Frame], stream: u32) -> usize {
    let updates = frames.iter().filter(|it| it.kind == h2::WINDOW_UPDATE && it.stream == stream);
    updates
        .map(|it| u32::from_be_bytes(it.payload[..].try_into().expect("four bytes")) as usize)
        .sum()
}

#[test]
fn a_window_is_given_back_as_the_body_is_read_and_not_before() {
    let uploads = Uploads::start();
    let mut client = uploads.http2();
    let opened = widened(&client.frames(), 0);
    assert_eq!(opened + 65_535, 1 << 20, "the window of a connection");
    let chunk = [b'x'; 16_000];
    let bodies = [(1, "/late", 15, false), (3, "/", 30, true), (5, "/drop", 30, true)];
    for (stream, path, chunks, given_back) in bodies {
        client.post(stream, path);
        for _ in 0..chunks {
            client.data(stream, false, &chunk);
            uploads.settle();
        }
        let given = widened(&client.frames(), 0);
        assert_eq!(given > 200_000, given_back, "{path}: {given}");
    }
    // What has come of a body is given back too when the handler lets it go.
    client.post(7, "/go_and_drop");
    for _ in 0..30 {
        client.data(7, false, &chunk);
        uploads.settle();
    }
    client.frames();
    uploads.seen.go.0.try_send(()).expect("there is room");
    uploads.settle();
    let given = widened(&client.frames(), 0);
    assert!(given >= 480_000, "{given}");
}

#[test]
fn all_of_a_body_that_is_larger_than_the_windows_arrives() {
    let uploads = Uploads::start();
    let mut client = uploads.http2();
    client.post(1, "/echo");
    let (mut room, mut sent, mut echoed) = ([512 * 1024, 1 << 20], 0, 0);
    client.widen(0, 1 << 24);
    for _ in 0..10_000 {
        let most = room[0].min(room[1]).min(16_000).min(4_000_000 - sent);
        if most > 0 {
            client.data(1, sent + most == 4_000_000, &vec![b'x'; most]);
            (room, sent) = (room.map(|room| room - most), sent + most);
        }
        uploads.settle();
        let frames = client.frames();
        room[0] += widened(&frames, 1);
        room[1] += widened(&frames, 0);
        echoed += content(&frames);
        client.widen(1, 20_000);
        if echoed == 4_000_000 {
            break;
        }
    }
    assert_eq!((sent, echoed), (4_000_000, 4_000_000));
}
