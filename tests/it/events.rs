//! Answers that would never end by themselves, and how the drain ends them.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use adieu::http::http_types::{Body, Request, Response, Result};
use adieu::http::{Exchange, Http};
use adieu::testing::{MemoryStream, Network, memory};
use adieu::{Server, Signal};
use futures_lite::AsyncRead;
use futures_lite::io::{BufReader, repeat};

use crate::ends::{Client, End, SECOND, serve as serve_over_tcp};
use crate::reader::{Answer, answers};
use crate::rig::{self, Rig};
use crate::web::get;

const EVENT: &[u8] = b"data: 1\n\n";

/// Whatever comes through the channel, for ever.
struct Events(Pin<Box<async_channel::Receiver<&'static [u8]>>>);

impl AsyncRead for Events {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        use futures_lite::Stream;
        match self.0.as_mut().poll_next(cx) {
            Poll::Ready(Some(event)) => {
                buf[..event.len()].copy_from_slice(event);
                Poll::Ready(Ok(event.len()))
            }
            Poll::Ready(None) => Poll::Ready(Ok(0)),
            Poll::Pending => Poll::Pending,
        }
    }
}

type Sender = async_channel::Sender<&'static [u8]>;

/// Answers with events, of this type and length. `until`: the handler has them end with the shutdown.
fn events(kind: &'static str, length: Option<usize>, until: bool) -> (Http, Sender) {
    let (sender, receiver) = async_channel::unbounded();
    let http = Http::new(move |_: Request, exchange: Exchange| {
        let events = BufReader::new(Events(Box::pin(receiver.clone())));
        async move {
            let body = match until {
                true => Body::from_reader(exchange.until_shutdown(events), length),
                false => Body::from_reader(events, length),
            };
            let mut response = Response::from(body);
            response.insert_header("content-type", kind);
            Result::Ok(response)
        }
    });
    (http, sender)
}

fn ask(rig: &Rig, network: &Network, sender: &Sender) -> MemoryStream {
    let client = rig::ask(rig, network, get("/", "").as_bytes());
    sender.try_send(EVENT).expect("it is received");
    rig.settle();
    client
}

fn answer(client: &MemoryStream) -> Answer {
    answers(&client.received(), |_| false).expect("well-formed").remove(0)
}

#[test]
fn a_stream_of_events_ends_well_in_the_turn_in_which_the_drain_begins() {
    let kinds = ["text/event-stream", "text/event-stream;charset=utf-8", "Text/Event-Stream ; a=b"];
    for kind in kinds {
        let (http, sender) = events(kind, None, false);
        let (rig, network) = rig::serve("web", http);
        let client = ask(&rig, &network, &sender);
        // This is ready when the drain begins.
        sender.try_send(EVENT).expect("it is received");
        rig.signal(Signal::Term);
        let answer = answer(&client);
        assert!(answer.complete, "{kind}: {answer:?}");
        assert_eq!(answer.body, EVENT.repeat(2), "{kind}");
        assert!(client.is_closed() && !client.is_reset(), "{kind}");
        drop(client);
        rig.settle();
        let report = rig.report();
        assert!(report.is_graceful(), "{kind}: {report}");
        assert_eq!(report.services[0].counts.drained, 1, "{kind}");
    }
}

#[test]
fn events_that_always_go_on_end_all_the_same() {
    let http = Http::new(|_: Request| async {
        let mut response = Response::from(Body::from_reader(BufReader::new(repeat(b'.')), None));
        response.insert_header("content-type", "text/event-stream");
        Result::Ok(response)
    });
    let (rig, network) = rig::serve("web", http);
    let client = rig::ask(&rig, &network, get("/", "").as_bytes());
    rig.signal(Signal::Term);
    let mut received = Vec::new();
    while !client.is_closed() {
        received.extend(client.received());
        rig.settle();
    }
    received.extend(client.received());
    let answer = answers(&received, |_| false).expect("well-formed").remove(0);
    assert!(answer.complete);
}

#[test]
fn in_a_lame_duck_events_go_on() {
    let (http, sender) = events("text/event-stream", None, false);
    let (listener, network) = memory();
    let server = Server::new(listener, http);
    let rig = Rig::start(|s| s.service("web", server).lame_duck(5 * SECOND));
    let client = ask(&rig, &network, &sender);
    rig.signal(Signal::Term);
    rig.pass(4 * SECOND);
    sender.try_send(EVENT).expect("it is received");
    rig.settle();
    assert!(!answer(&client).complete);
    rig.pass(2 * SECOND);
    assert!(client.is_closed());
}

#[test]
fn a_stream_of_another_type_or_of_known_length_ends_if_its_handler_has_it_end() {
    for (kind, length) in [("text/plain", None), ("text/event-stream", Some(18))] {
        for until in [false, true] {
            let ends = until && length.is_none();
            let (http, sender) = events(kind, length, until);
            let (rig, network) = rig::serve("web", http);
            let client = ask(&rig, &network, &sender);
            rig.signal(Signal::Term);
            assert_eq!(answer(&client).complete, ends, "{kind}");
            rig.pass(10 * SECOND);
            let code = if until { 0 } else { 124 };
            assert_eq!(rig.report().exit_status(), code, "{kind}, {until}");
        }
    }
}

#[test]
fn an_http_1_0_client_sees_a_clean_end_of_events() {
    let (http, sender) = events("text/event-stream", None, false);
    let ((taken, end), report) = serve_over_tcp(http, async |mut client: Client| {
        client.send("GET / HTTP/1.0\r\n\r\n").await;
        sender.try_send(EVENT).expect("it is received");
        let mut taken = Vec::new();
        while !taken.ends_with(EVENT) {
            assert_eq!(client.takes(1, &mut taken).await, None);
        }
        client.signal();
        let end = client.takes(1, &mut taken).await;
        (taken, end)
    });
    assert!(taken.ends_with(EVENT));
    assert_eq!(end, Some(End::Clean));
    assert!(report.is_graceful());
}

#[test]
fn a_handler_that_has_not_answered_yet_is_waited_for() {
    let http = Http::new(|_: Request| async {
        pending::<()>().await;
        Result::Ok(Response::from("hello"))
    });
    let (rig, network) = rig::serve("web", http);
    let client = rig::ask(&rig, &network, get("/", "Accept: text/event-stream\r\n").as_bytes());
    rig.signal(Signal::Term);
    assert!(!client.is_closed());
}
