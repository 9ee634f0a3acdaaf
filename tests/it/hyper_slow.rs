//! Clients of the `hyper` feature that take their answers slowly, or not at all: an answer is under way
//! until the system has taken its last byte.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use adieu::hyper::hyper::service::service_fn;
use adieu::hyper::hyper::{Request, Response};
use adieu::hyper::{Hyper, Limits, RequestBody};
use adieu::testing::{MemoryListener, MemoryStream, Network, memory, settle};
use adieu::{
    ConnectionStatus, Counts, Listener, Peer, Report, Server, Signal, State, Status, Stream,
    Waiting,
};
use futures_lite::{AsyncRead, AsyncWrite};

use crate::h2::{self, Client, content};
use crate::rig::Rig;

const SECOND: Duration = Duration::from_secs(1);
const GET: &[u8] = b"GET /it HTTP/1.1\r\nHost: test\r\n\r\n";

/// How much is answered: more than any buffer on the way holds.
const SIZE: usize = 1_000_000;

/// A server whose every answer is one frame of [`SIZE`] bytes.
struct Slow {
    rig: Rig,
    network: Network,
    status: Rc<RefCell<Option<Status>>>,
    /// How many requests the service was asked.
    asked: Rc<Cell<usize>>,
}

impl Slow {
    fn start() -> Slow {
        Slow::with(|_| SIZE)
    }

    /// The same with answers as long as `size` says of a path.
    fn with(size: impl Fn(&str) -> usize + 'static) -> Slow {
        Slow::on(|listener| listener, size)
    }

    /// The same on a listener made of the one in memory.
    fn on<L: Listener>(
        listen: impl FnOnce(MemoryListener) -> L,
        size: impl Fn(&str) -> usize + 'static,
    ) -> Slow {
        let (listener, network) = memory();
        let asked = Rc::new(Cell::new(0));
        let counted = asked.clone();
        let answer = move |request: Request<RequestBody>| {
            counted.set(counted.get() + 1);
            let answer = Response::new("x".repeat(size(request.uri().path())));
            std::future::ready(Ok::<_, Infallible>(answer))
        };
        // What they take is too little for a rate.
        let limits = Limits { answer_rate: 0, ..Limits::default() };
        let hyper = Hyper::new(service_fn(answer)).limits(limits);
        let server = Server::new(listen(listener), hyper);
        let status = Rc::new(RefCell::new(None));
        let told = status.clone();
        // A service that hands out the view of the run.
        let observer = async move |cx: adieu::Context| {
            *told.borrow_mut() = Some(cx.status().clone());
            Ok::<_, Infallible>(())
        };
        let rig = Rig::start(|s| s.service("web", server).service("observer", observer));
        Slow { rig, network, status, asked }
    }

    fn h2(&self, window: u32) -> Client {
        let client = Client::connect(&self.network, window);
        settle(&self.rig.executor);
        client
    }

    fn settle(&self) {
        settle(&self.rig.executor);
    }

    fn status(&self) -> Status {
        self.status.borrow().clone().expect("the run has begun")
    }

    fn counts(&self) -> Counts {
        self.status().services()[0].counts.clone()
    }

    /// How many connections are in this state.
    fn open(&self, state: State) -> usize {
        let open = self.status().services()[0].open;
        open.into_iter().filter(|(it, _)| *it == state).map(|(_, count)| count).sum()
    }

    /// The one connection that the drain waits for.
    fn straggler(&self) -> ConnectionStatus {
        let (mut named, more) = self.status().stragglers(1);
        assert_eq!((named.len(), more), (1, 0));
        named.remove(0).connection.expect("it is a connection")
    }
}

fn the_straggler(report: &Report) -> &ConnectionStatus {
    assert_eq!(report.stragglers.len(), 1, "{report}");
    report.stragglers[0].connection.as_ref().expect("it is a connection")
}

/// Takes an answer window by window, each second one, for as long as `until` says. Returns the frames.
fn take_slowly(
    slow: &Slow,
    client: &mut Client,
    by: u32,
    until: impl Fn(usize) -> bool,
) -> Vec<h2::Frame> {
    let mut frames = client.frames();
    for turn in 0.. {
        if !until(content(&frames)) {
            break;
        }
        assert!(turn < 1000, "it does not go on after {} bytes", content(&frames));
        assert!(!client.stream.is_gone(), "cut after {} bytes", content(&frames));
        client.widen(1, by);
        client.widen(0, by);
        slow.rig.pass(SECOND);
        frames.extend(client.frames());
    }
    frames
}

#[test]
fn an_http2_answer_is_under_way_until_its_last_byte_is_written() {
    let slow = Slow::start();
    let mut client = slow.h2(10_000);
    client.get(1, "/it");
    slow.settle();
    let mut frames = take_slowly(&slow, &mut client, 10_000, |taken| taken < SIZE - 10_000);
    // Ninety-nine seconds have passed, and the idle limit of a minute with them.
    assert_eq!((slow.open(State::Active), slow.counts().requests), (1, 0));
    client.widen(1, 9_999);
    client.widen(0, 10_000);
    slow.settle();
    frames.extend(client.frames());
    assert_eq!(content(&frames), SIZE - 1);
    assert_eq!((slow.open(State::Active), slow.counts().requests), (1, 0));
    client.widen(1, 1);
    slow.settle();
    frames.extend(client.frames());
    assert_eq!(content(&frames), SIZE);
    assert!(frames.last().is_some_and(h2::Frame::ends_stream));
    assert_eq!((slow.open(State::Idle), slow.counts().requests), (1, 1));
    assert!(slow.counts().latency.sum() >= 98 * SECOND);
}

#[test]
fn an_http2_answer_that_is_taken_in_time_makes_a_graceful_bye() {
    let slow = Slow::start();
    let mut client = slow.h2(50_000);
    client.get(1, "/it");
    slow.settle();
    let mut frames = take_slowly(&slow, &mut client, 50_000, |taken| taken < SIZE * 3 / 5);
    slow.rig.signal(Signal::Term);
    frames.extend(take_slowly(&slow, &mut client, 50_000, |taken| taken + content(&frames) < SIZE));
    slow.settle();
    client.frames();
    slow.settle();
    assert!(client.stream.is_closed());
    drop(client);
    let report = slow.rig.report();
    assert_eq!(report.exit_status(), 0, "{report}");
    assert_eq!((report.services[0].counts.requests, report.services[0].counts.drained), (1, 1));
}

#[test]
fn an_http2_answer_that_is_not_taken_in_time_is_cut_off_and_named() {
    let slow = Slow::start();
    let mut client = slow.h2(10_000);
    client.get(1, "/it");
    slow.settle();
    slow.rig.signal(Signal::Term);
    slow.rig.pass(SECOND);
    let straggler = slow.straggler();
    assert_eq!((straggler.state, straggler.waits_for), (State::Active, Waiting::Answer));
    let frames = take_slowly(&slow, &mut client, 10_000, |taken| taken < 9 * 10_000);
    assert!(content(&frames) < SIZE);
    slow.rig.pass(2 * SECOND);
    assert!(client.stream.is_gone());
    let report = slow.rig.report();
    assert_eq!(report.exit_status(), 124, "{report}");
    let straggler = the_straggler(&report);
    assert_eq!((straggler.state, straggler.waits_for), (State::Active, Waiting::Answer));
    assert_eq!(straggler.request, "GET /it");
    assert_eq!((report.services[0].counts.requests, report.services[0].counts.cut_off), (0, 1));
}

#[test]
fn a_window_of_one_byte_each_half_second_is_not_called_graceful() {
    let slow = Slow::start();
    let mut client = slow.h2(1);
    client.get(1, "/it");
    slow.settle();
    assert_eq!(content(&client.frames()), 1);
    slow.rig.signal(Signal::Term);
    for _ in 0..19 {
        client.widen(1, 1);
        slow.rig.pass(SECOND / 2);
        assert_eq!(content(&client.frames()), 1);
        assert!(!client.stream.is_gone());
    }
    slow.rig.pass(SECOND);
    let report = slow.rig.report();
    assert_eq!(report.exit_status(), 124, "{report}");
    assert_eq!(the_straggler(&report).waits_for, Waiting::Answer);
}

#[test]
fn an_answer_that_the_socket_does_not_take_is_cut_off_and_named() {
    for is_http2 in [false, true] {
        let slow = Slow::start();
        let stream = slow.network.connect_with_capacity(10_000).expect("it listens");
        let client = match is_http2 {
            false => {
                stream.send(GET);
                stream
            }
            true => {
                let client = Client::over(stream, u32::MAX >> 1);
                client.widen(0, 1 << 30);
                client.get(1, "/it");
                client.stream
            }
        };
        slow.settle();
        slow.rig.signal(Signal::Term);
        // It takes some of it each second.
        for _ in 0..9 {
            slow.rig.pass(SECOND);
            let straggler = slow.straggler();
            assert_eq!((straggler.state, straggler.waits_for), (State::Active, Waiting::Answer));
            assert!(!client.receive(1000).is_empty());
            slow.settle();
        }
        slow.rig.pass(SECOND);
        assert!(client.is_gone());
        let report = slow.rig.report();
        assert_eq!(report.exit_status(), 124, "{report}");
        assert_eq!(report.services[0].counts.requests, 0);
        assert_eq!(the_straggler(&report).request, "GET /it");
    }
}

#[test]
fn a_stream_whose_window_stays_shut_is_reset_after_thirty_seconds() {
    let slow = Slow::start();
    let mut client = slow.h2(0);
    client.get(1, "/it");
    slow.settle();
    assert_eq!(client.frames().last().map(h2::Frame::status), Some(200));
    slow.rig.pass(29 * SECOND);
    assert_eq!(client.frames(), []);
    slow.rig.pass(2 * SECOND);
    let frames = client.frames();
    assert_eq!((frames.len(), frames[0].kind, frames[0].error()), (1, h2::RST_STREAM, h2::CANCEL));
    // It was not answered, and the connection goes on.
    assert_eq!((slow.open(State::Idle), slow.counts().requests), (1, 0));
    client.settings(100);
    client.get(3, "/it");
    slow.settle();
    assert_eq!(content(&client.frames()), 100);
}

#[test]
fn a_stream_that_goes_on_slowly_keeps_its_time_and_its_neighbour_does_not() {
    let slow = Slow::start();
    let mut client = slow.h2(100);
    client.get(1, "/it");
    slow.settle();
    client.get(3, "/it");
    slow.settle();
    client.frames();
    for _ in 0..2 {
        slow.rig.pass(25 * SECOND);
        client.widen(3, 1);
        slow.settle();
    }
    let frames = client.frames();
    let reset: Vec<u32> =
        frames.iter().filter(|it| it.kind == h2::RST_STREAM).map(|it| it.stream).collect();
    assert_eq!((reset, content(&frames)), (vec![1], 2));
    assert_eq!(slow.open(State::Active), 1);
}

#[test]
fn answers_that_are_not_taken_hold_up_the_handlers_of_further_requests() {
    let slow = Slow::with(|_| 4_000_000);
    let mut client = slow.h2(0);
    for number in 0..40 {
        client.get(2 * number + 1, "/it");
    }
    slow.settle();
    assert_eq!(slow.asked.get(), 1, "four megabytes are more than one");
    slow.rig.pass(31 * SECOND);
    let frames = client.frames();
    let reset = |error| {
        let resets = frames.iter().filter(|it| it.kind == h2::RST_STREAM);
        resets.filter(|it| it.error() == error).count()
    };
    // Of the others none has begun: they can be asked again.
    assert_eq!((reset(h2::CANCEL), reset(h2::REFUSED_STREAM)), (1, 39));
    assert_eq!((slow.asked.get(), slow.open(State::Idle), slow.counts().requests), (1, 1, 0));
}

#[test]
fn requests_that_are_held_up_are_answered_when_the_client_takes_what_is_there() {
    let slow = Slow::with(|_| 4_000_000);
    let mut client = slow.h2(0);
    for number in 0..10 {
        client.get(2 * number + 1, "/it");
    }
    slow.settle();
    slow.rig.signal(Signal::Term);
    slow.rig.pass(SECOND);
    assert_eq!(slow.straggler().waits_for, Waiting::Answer);
    client.widen(0, 100_000_000);
    let mut taken = 0;
    for number in 0..10 {
        assert_eq!(slow.asked.get(), number + 1);
        // The whole of the one that is next: its handler has been called, the one behind it has not.
        client.widen(2 * number as u32 + 1, 4_000_000);
        for _ in 0..1000 {
            slow.settle();
            taken += content(&client.frames());
        }
        assert_eq!(taken, 4_000_000 * (number + 1));
    }
    slow.settle();
    client.frames();
    slow.settle();
    drop(client);
    let report = slow.rig.report();
    assert!(report.is_graceful(), "{report}");
    assert_eq!(report.services[0].counts.requests, 10);
}

#[test]
fn a_download_that_goes_on_holds_no_request_up_for_good() {
    let slow = Slow::with(|path| if path == "/small" { 10 } else { 4_000_000 });
    let mut client = slow.h2(0);
    client.get(1, "/large");
    client.get(3, "/small");
    slow.settle();
    // It takes a little every twenty seconds: as long as it does the other request waits, and is not refused.
    for _ in 0..5 {
        client.widen(1, 1000);
        slow.rig.pass(20 * SECOND);
        assert!(client.frames().iter().all(|frame| frame.kind != h2::RST_STREAM));
    }
    assert_eq!(slow.asked.get(), 1);
    client.reset(1, h2::CANCEL);
    client.settings(10);
    slow.settle();
    let frames = client.frames();
    assert!(frames.last().is_some_and(h2::Frame::ends_stream), "{frames:?}");
    assert_eq!((slow.asked.get(), slow.counts().requests), (2, 1));
}

#[test]
fn an_http2_client_that_takes_nothing_from_the_socket_is_cut() {
    let slow = Slow::start();
    let connect = || {
        let stream = slow.network.connect_with_capacity(1000).expect("it listens");
        let client = Client::over(stream, u32::MAX >> 1);
        client.widen(0, 1 << 30);
        client.get(1, "/it");
        client.get(3, "/it");
        client
    };
    let [slowly, stuck] = [connect(), connect()];
    slow.settle();
    for _ in 0..2 {
        slow.rig.pass(25 * SECOND);
        assert!(!slowly.stream.receive(1000).is_empty());
        slow.settle();
    }
    assert!(stuck.stream.is_gone(), "it has taken nothing");
    assert!(!slowly.stream.is_closed(), "it goes on taking");
    slow.rig.pass(31 * SECOND);
    assert!(slowly.stream.is_gone());
    assert_eq!(slow.counts().requests, 0);
}

#[test]
fn a_window_that_is_taken_away_under_an_answer_has_its_limit_too() {
    let slow = Slow::with(|_| 40_000);
    let stream = slow.network.connect_with_capacity(100).expect("it listens");
    let mut client = Client::over(stream, 40_000);
    client.get(1, "/it");
    slow.settle();
    // All of the answer is h2's, and the socket takes none of it, when the window is taken away.
    client.settings(0);
    let mut taken = 0;
    for _ in 0..1000 {
        slow.settle();
        taken += content(&client.frames());
    }
    assert!((1..40_000).contains(&taken), "{taken}");
    assert_eq!((slow.open(State::Active), slow.counts().requests), (1, 0));
    // As long as it takes a little of it, its time begins anew.
    client.widen(1, taken as u32);
    for _ in 0..3 {
        client.widen(1, 1);
        slow.rig.pass(20 * SECOND);
        assert!(client.frames().iter().all(|frame| frame.kind != h2::RST_STREAM));
    }
    slow.rig.pass(11 * SECOND);
    let frames = client.frames();
    assert_eq!(
        frames.iter().map(|it| (it.kind, it.stream)).collect::<Vec<_>>(),
        [(h2::RST_STREAM, 1)]
    );
    slow.settle();
    assert_eq!((slow.open(State::Idle), slow.counts().requests), (1, 0));
}

#[test]
fn a_client_that_resets_its_stream_ends_the_request_and_nothing_is_counted() {
    let slow = Slow::start();
    let mut client = slow.h2(1000);
    client.get(1, "/it");
    client.get(3, "/it");
    slow.settle();
    client.frames();
    assert_eq!(slow.open(State::Active), 1);
    client.reset(1, h2::CANCEL);
    slow.settle();
    assert_eq!(slow.open(State::Active), 1);
    client.reset(3, h2::CANCEL);
    slow.settle();
    assert_eq!((slow.open(State::Idle), slow.counts().requests), (1, 0));
    assert_eq!(client.frames(), []);
    // Asked and taken back at once.
    client.get(5, "/it");
    client.reset(5, h2::CANCEL);
    slow.settle();
    assert_eq!((slow.open(State::Idle), slow.counts().requests), (1, 0));
    slow.rig.signal(Signal::Term);
    client.frames();
    slow.settle();
    drop(client);
    assert!(slow.rig.report().is_graceful());
}

#[test]
fn the_oldest_request_in_flight_is_the_one_that_is_named() {
    let slow = Slow::with(|path| if path == "/old" { SIZE } else { 10 });
    let mut client = slow.h2(100);
    client.get(1, "/old");
    slow.settle();
    slow.rig.pass(5 * SECOND);
    client.get(3, "/new");
    slow.settle();
    assert_eq!(slow.counts().requests, 1);
    slow.rig.signal(Signal::Term);
    slow.rig.pass(SECOND);
    let straggler = slow.straggler();
    assert_eq!((straggler.request.as_str(), straggler.in_state), ("GET /old", 6 * SECOND));
    client.frames();
}

/// A stream that takes every write, and passes it on when it is flushed, as TLS may.
struct Buffering {
    inner: MemoryStream,
    buffered: Vec<u8>,
}

impl Buffering {
    fn poll_pass_on(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.buffered.is_empty() {
            let amount = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.buffered))?;
            self.buffered.drain(..amount);
        }
        Poll::Ready(Ok(()))
    }
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
        self.buffered.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_pass_on(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pass_on(cx))?;
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

impl Stream for Buffering {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_readable(cx)
    }

    fn half_close(&self) -> io::Result<()> {
        self.inner.half_close()
    }

    fn reset_on_close(&self, resets: bool) {
        self.inner.reset_on_close(resets);
    }
}

/// Accepts such streams.
struct BufferingListener(MemoryListener);

impl Listener for BufferingListener {
    type Stream = Buffering;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Buffering, Peer)>> {
        let accepted = self.0.poll_accept(cx);
        accepted.map_ok(|(inner, peer)| (Buffering { inner, buffered: Vec::new() }, peer))
    }

    fn address(&self) -> String {
        self.0.address()
    }
}

#[test]
fn what_is_in_the_buffer_of_a_stream_is_not_out_yet() {
    for is_http2 in [false, true] {
        let slow = Slow::on(BufferingListener, |_| 10_000);
        let stream = slow.network.connect_with_capacity(100).expect("it listens");
        let client = match is_http2 {
            false => {
                stream.send(GET);
                stream
            }
            true => {
                let client = Client::over(stream, 10_000);
                client.get(1, "/it");
                client.stream
            }
        };
        let mut taken = 0;
        for _ in 0..90 {
            slow.settle();
            assert_eq!((slow.open(State::Active), slow.counts().requests), (1, 0));
            taken += client.received().len();
        }
        for _ in 0..100 {
            slow.settle();
            taken += client.received().len();
        }
        assert_eq!(slow.counts().requests, 1);
        assert!((10_000..10_300).contains(&taken), "{taken}");
        assert_eq!(slow.open(State::Idle), 1);
    }
}
