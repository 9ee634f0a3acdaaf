//! Clients that go while their requests are answered: by a reset, by an end that may be half of one, at any time.

use std::cell::Cell;
use std::future::pending;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use adieu::http::http_types::{Body, Request, Response, Result};
use adieu::http::{Exchange, Http};
use adieu::testing::{MemoryStream, Network};
use adieu::{Counts, Report, Server, Signal, SocketListener, Stream, Supervisor};
use futures_lite::io::BufReader;
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use smol::Async;

use crate::rig::{self, GET, Rig, ask, run_with, text};

const SECOND: Duration = Duration::from_secs(1);
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const NEVER: &[u8] = b"GET /never HTTP/1.1\r\nHost: test\r\n\r\n";
const WATCH: &[u8] = b"GET /watch HTTP/1.1\r\nHost: test\r\n\r\n";

/// What has become of the handlers.
#[derive(Clone, Default)]
struct Seen {
    dropped: Arc<AtomicBool>,
    told: Rc<Cell<bool>>,
    answered: Rc<Cell<bool>>,
}

impl Seen {
    fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Goes with what holds it.
struct Held(Arc<AtomicBool>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A body that says a word, and no more.
struct Silent {
    said: bool,
    _held: Held,
}

impl AsyncRead for Silent {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if std::mem::replace(&mut self.said, true) {
            return Poll::Pending;
        }
        buf[..4].copy_from_slice(b"word");
        Poll::Ready(Ok(4))
    }
}

fn http(seen: Seen) -> Http {
    Http::new(move |mut request: Request, exchange: Exchange| {
        let seen = seen.clone();
        async move { handle(&seen, &mut request, &exchange).await }
    })
}

async fn handle(seen: &Seen, request: &mut Request, exchange: &Exchange) -> Result<Response> {
    let held = || Held(seen.dropped.clone());
    match request.url().path() {
        "/never" => {
            let _held = held();
            pending::<()>().await;
        }
        // It would be told for a minute, and answers then.
        "/watch" => {
            let told = seen.told.clone();
            let gone = exchange.client_gone();
            exchange.spawn(async move {
                gone.await;
                told.set(true);
            });
            exchange.sleep(60 * SECOND).await;
            seen.answered.set(true);
        }
        "/watch-later" => {
            let (told, watching) = (seen.told.clone(), exchange.clone());
            exchange.spawn(async move {
                watching.sleep(10 * SECOND).await;
                watching.client_gone().await;
                told.set(true);
            });
            pending::<()>().await;
        }
        "/body" => {
            let body = BufReader::new(Silent { said: false, _held: held() });
            return Ok(Body::from_reader(body, None).into());
        }
        "/upload" => {
            let gone = exchange.client_gone();
            let read = request.body_bytes().await;
            assert!(read.is_err(), "it did not come");
            gone.await;
            seen.told.set(true);
        }
        _ => {}
    }
    Ok("hello".into())
}

fn serve(seen: &Seen, drops: bool) -> (Rig, Network) {
    rig::serve("web", http(seen.clone()).drop_handler_when_client_goes(drops))
}

fn reset(client: MemoryStream) {
    client.reset_on_close(true);
}

fn counts(report: &Report) -> &Counts {
    &report.service("web").expect("it was served").counts
}

/// How a client goes, whether it can be seen without asking it, and whether it is gone then.
type Goes = (&'static str, fn(MemoryStream) -> Option<MemoryStream>, bool, bool);

const WAYS: [Goes; 3] = [
    (
        "reset",
        |client| {
            reset(client);
            None
        },
        true,
        true,
    ),
    (
        "closed",
        |client| {
            drop(client);
            None
        },
        false,
        true,
    ),
    (
        "half-closed",
        |client| {
            client.half_close().expect("it is open");
            Some(client)
        },
        false,
        false,
    ),
];

#[test]
fn a_handler_works_on_for_a_client_that_is_gone_unless_it_shall_be_dropped() {
    for (way, goes, at_once, is_gone) in WAYS {
        for drops in [false, true] {
            let case = format!("{way}, dropping: {drops}");
            let seen = Seen::default();
            let (rig, network) = serve(&seen, drops);
            let _client = goes(ask(&rig, &network, NEVER));
            rig.settle();
            assert_eq!(seen.is_dropped(), drops && is_gone, "{case}");
            rig.signal(Signal::Term);
            let is_over = is_gone && (drops || at_once);
            assert_eq!(rig.is_over(), is_over, "{case}");
            rig.pass(10 * SECOND);
            let report = rig.report();
            assert_eq!(report.is_graceful(), is_over, "{case}");
            assert_eq!(counts(&report).dropped, u64::from(is_over), "{case}");
            if !is_over {
                let line = report.stragglers[0].to_string();
                assert!(line.ends_with("the client has closed its side"), "{case}: {line}");
            }
        }
    }
}

#[test]
fn a_handler_that_watches_is_told_and_a_client_that_has_only_closed_its_side_is_answered() {
    for (way, goes, at_once, is_gone) in WAYS {
        let seen = Seen::default();
        let (rig, network) = serve(&seen, false);
        let client = goes(ask(&rig, &network, WATCH));
        rig.settle();
        assert_eq!(seen.told.get(), is_gone, "{way}");
        rig.pass(61 * SECOND);
        assert!(seen.answered.get(), "{way}: the handler works on");
        let received = client.map(|client| text(&client)).unwrap_or_default();
        // Once, whatever time passes.
        assert_eq!(received.matches(CONTINUE).count(), usize::from(!is_gone), "{way}");
        assert_eq!(received.ends_with("hello"), !is_gone, "{way}");
        assert!(!at_once || is_gone);
    }
}

#[test]
fn nobody_is_asked_if_nobody_wants_to_know_or_the_client_would_not_understand() {
    let old = b"GET /watch HTTP/1.0\r\n\r\n";
    for (request, drops) in
        [(&b"GET /never HTTP/1.1\r\nHost: test\r\n\r\n"[..], false), (old, true)]
    {
        let (rig, network) = serve(&Seen::default(), drops);
        let client = ask(&rig, &network, request);
        client.half_close().expect("it is open");
        rig.pass(30 * SECOND);
        assert_eq!(text(&client), "");
    }
}

#[test]
fn who_begins_to_watch_when_the_end_has_come_is_told_too() {
    let seen = Seen::default();
    let (rig, network) = serve(&seen, false);
    let client = ask(&rig, &network, b"GET /watch-later HTTP/1.1\r\nHost: test\r\n\r\n");
    drop(client);
    rig.pass(9 * SECOND);
    assert!(!seen.told.get());
    rig.pass(2 * SECOND);
    assert!(seen.told.get());
}

#[test]
fn a_body_that_has_nothing_more_for_a_client_that_is_gone_is_dropped_at_the_drain_or_at_once() {
    for drops in [false, true] {
        let seen = Seen::default();
        let (rig, network) = serve(&seen, drops);
        let client = ask(&rig, &network, b"GET /body HTTP/1.1\r\nHost: test\r\n\r\n");
        assert!(text(&client).contains("word"));
        reset(client);
        rig.settle();
        assert_eq!(seen.is_dropped(), drops);
        rig.signal(Signal::Term);
        assert!(seen.is_dropped());
        let report = rig.report();
        assert!(report.is_graceful());
        assert_eq!(counts(&report).dropped, 1);
    }
}

#[test]
fn nothing_is_added_to_an_answer_that_has_begun() {
    let (rig, network) = serve(&Seen::default(), true);
    let client = ask(&rig, &network, b"GET /body HTTP/1.1\r\nHost: test\r\n\r\n");
    client.half_close().expect("it is open");
    rig.pass(30 * SECOND);
    assert!(!text(&client).contains("100 Continue"));
}

#[test]
fn a_client_that_takes_no_earlier_answer_is_gone_for_the_later_request_too() {
    for drops in [false, true] {
        let seen = Seen::default();
        let (rig, network) = serve(&seen, drops);
        let client = rig::connect(&rig, &network);
        client.send(&[GET, NEVER].concat());
        drop(client);
        rig.settle();
        assert_eq!(seen.is_dropped(), drops);
        rig.signal(Signal::Term);
        let report = rig.report();
        assert!(report.is_graceful());
        assert_eq!((counts(&report).requests, counts(&report).dropped), (0, 1));
    }
}

#[test]
fn a_client_that_goes_in_its_upload_is_seen_by_the_reader_and_told() {
    let seen = Seen::default();
    let (rig, network) = serve(&seen, false);
    let half = b"POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nhalf";
    reset(ask(&rig, &network, half));
    rig.settle();
    assert!(seen.told.get());
}

#[test]
fn what_is_read_ahead_is_the_next_request_and_no_more_than_one_read() {
    let (rig, network) = serve(&Seen::default(), true);
    let client = ask(&rig, &network, WATCH);
    client.send(&GET.repeat(500));
    rig.pass(61 * SECOND);
    assert_eq!(text(&client).matches("HTTP/1.1 200").count(), 1 + 500);

    let client = ask(&rig, &network, NEVER);
    client.send(&GET.repeat(10_000));
    rig.signal(Signal::Term);
    rig.pass(10 * SECOND);
    let report = rig.report();
    let mut connections = report.stragglers.iter().filter_map(|one| one.connection.as_ref());
    let received = connections.next().expect("one is cut off").received;
    assert_eq!(received, (NEVER.len() + 16 * 1024) as u64);
}

/// A request over real TCP. In memory a write to a client that is gone fails; here the first one does not.
fn over_tcp<T>(
    seen: &Seen,
    request: &'static [u8],
    client: impl AsyncFnOnce(Async<TcpStream>) -> T,
) -> (T, Report) {
    let listener = SocketListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is TCP");
    let http = http(seen.clone()).drop_handler_when_client_goes(true);
    let supervisor = Supervisor::new().service("web", Server::new(listener, http));
    let trigger = supervisor.trigger();
    run_with(supervisor, async {
        let mut stream = Async::<TcpStream>::connect(address).await.expect("it listens");
        stream.write_all(request).await.expect("there is room");
        let seen = client(stream).await;
        trigger.shut_down();
        seen
    })
}

#[test]
fn the_handler_of_a_client_that_has_closed_over_tcp_is_dropped() {
    let seen = Seen::default();
    let ((), report) = over_tcp(&seen, NEVER, async |stream| {
        drop(stream);
        while !seen.is_dropped() {
            smol::Timer::after(Duration::from_millis(10)).await;
        }
    });
    assert!(report.is_graceful());
    assert_eq!(counts(&report).dropped, 1);
}

#[test]
fn a_client_that_goes_after_it_was_asked_is_found_out() {
    let seen = Seen::default();
    let ((), report) = over_tcp(&seen, NEVER, async |stream| {
        stream.get_ref().shutdown(Shutdown::Write).expect("it is open");
        // The question has come, and is not read: that the client goes then is a reset.
        stream.readable().await.expect("it is asked");
        assert!(!seen.is_dropped());
        drop(stream);
        while !seen.is_dropped() {
            smol::Timer::after(Duration::from_millis(10)).await;
        }
    });
    assert!(report.is_graceful());
    assert_eq!(counts(&report).dropped, 1);
}

#[test]
fn a_client_that_has_closed_its_side_over_tcp_is_asked_and_answered() {
    let seen = Seen::default();
    let request = b"GET /until-told HTTP/1.1\r\nHost: test\r\n\r\n";
    let listener = SocketListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is TCP");
    let (tell, told) = async_channel::bounded::<()>(1);
    let http = Http::new(move |_: Request| {
        let told = told.clone();
        async move {
            told.recv().await?;
            Result::Ok(Response::from("hello"))
        }
    });
    let http = http.drop_handler_when_client_goes(true);
    let supervisor = Supervisor::new().service("web", Server::new(listener, http));
    let trigger = supervisor.trigger();
    let (received, report) = run_with(supervisor, async {
        let mut stream = Async::<TcpStream>::connect(address).await.expect("it listens");
        stream.write_all(request).await.expect("there is room");
        stream.get_ref().shutdown(Shutdown::Write).expect("it is open");
        let mut received = vec![0; CONTINUE.len()];
        stream.read_exact(&mut received).await.expect("it is asked");
        assert_eq!(received, CONTINUE.as_bytes());
        tell.send(()).await.expect("the handler waits");
        stream.read_to_end(&mut received).await.expect("it is answered");
        trigger.shut_down();
        String::from_utf8(received).expect("it is text")
    });
    assert!(received.ends_with("hello"), "{received}");
    assert!(report.is_graceful() && counts(&report).dropped == 0);
    assert!(!seen.is_dropped());
}
