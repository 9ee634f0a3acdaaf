//! What the simulation has found on `Hyper`, each as a small test.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use adieu::hyper::hyper::body::{Body, Bytes, Frame};
use adieu::hyper::hyper::service::service_fn;
use adieu::hyper::hyper::{Request, Response};
use adieu::hyper::{Hyper, Limits, RequestBody};
use adieu::testing::Network;
use adieu::{Server, Signal};

use crate::h2::{self, Client};
use crate::rig::{self, Rig};

const MILLIS: Duration = Duration::from_millis(1);

/// Reads no body.
async fn hello(_request: Request<RequestBody>) -> Result<Response<String>, Infallible> {
    Ok(Response::new("hello".to_owned()))
}

fn serve() -> (Rig, Network) {
    rig::serve("web", Hyper::new(service_fn(hello)))
}

#[test]
fn the_first_bytes_of_a_connection_are_counted_whatever_becomes_of_it() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // Part of a preface; one whose client has gone; one behind which something else comes than settings.
    for opening in [&PREFACE[..5], PREFACE, &[PREFACE, b"no frames, ever"].concat()] {
        let (rig, network) = serve();
        let client = rig::ask(&rig, &network, opening);
        drop(client);
        rig.settle();
        rig.signal(Signal::Term);
        let report = rig.report();
        let counts = &report.services[0].counts;
        assert_eq!(counts.received, opening.len() as u64, "{}", opening.escape_ascii());
    }
}

#[test]
fn half_a_head_that_is_refused_is_a_request_in_the_books() {
    let (rig, network) = serve();
    let client = rig::ask(&rig, &network, b"GET / HT");
    rig.pass(10_200 * MILLIS);
    assert!(client.text().starts_with("HTTP/1.1 408 "));
    drop(client);
    rig.signal(Signal::Term);
    let counts = &rig.report().services[0].counts;
    assert_eq!((counts.requests, counts.statuses[3]), (1, 1), "{counts:?}");
    assert_eq!(counts.latency.count(), 1);
}

#[test]
fn what_a_service_leaves_of_a_body_is_no_head_of_another_request() {
    for body in
        ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"]
    {
        let (rig, network) = serve();
        // The body comes while the answer is being written, or before.
        for gap in [0, 1] {
            let (head, body) = body.split_at(body.find("\r\n\r\n").expect("it is there") + 4);
            let client = rig::ask(&rig, &network, b"POST / HTTP/1.1\r\nHost: test\r\n");
            client.send(head.as_bytes());
            if gap > 0 {
                rig.settle();
            }
            client.send(body.as_bytes());
            rig.pass(11_000 * MILLIS);
            let told = client.text();
            assert!(told.starts_with("HTTP/1.1 200 ") && !told.contains(" 408 "), "{told}");
            if gap == 0 {
                assert!(!client.is_closed(), "it is idle");
                rig.signal(Signal::Term);
                assert!(client.is_closed(), "it is let go at once");
                break;
            }
        }
    }
}

#[test]
fn an_http_1_0_answer_behind_another_one_is_reset_if_it_is_cut() {
    let rig = Rig::serve_with(|supervisor, listener| {
        let hyper = Hyper::new(service_fn(|request: Request<RequestBody>| async move {
            let endless = request.uri().path() == "/endless";
            Ok::<_, Infallible>(Response::new(Part { is_there: true, endless }))
        }));
        supervisor.service("web", Server::new(listener, hyper)).grace(Duration::ZERO)
    });
    let client =
        rig.ask(b"GET / HTTP/1.1\r\nHost: test\r\n\r\nGET /endless HTTP/1.0\r\nHost: test\r\n\r\n");
    rig.signal(Signal::Term);
    assert!(client.is_reset());
    assert_eq!(rig.report().exit_status(), 124);
}

/// A body of unknown length, of one part.
struct Part {
    is_there: bool,
    endless: bool,
}

impl Body for Part {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match std::mem::take(&mut self.is_there) {
            true => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"part"))))),
            false if self.endless => Poll::Pending,
            false => Poll::Ready(None),
        }
    }
}

/// A client that is told to go away, and never says goodbye itself.
fn silent(network: &Network, rig: &Rig) -> Client {
    let mut client = Client::connect(network, 1 << 20);
    client.get(1, "/");
    rig.settle();
    assert!(client.frames_unanswered().iter().any(h2::Frame::ends_stream));
    client
}

#[test]
fn a_goodbye_that_is_waited_for_before_the_drain_does_not_outlast_the_deadline() {
    let server = |listener| {
        let limits = Limits { requests: 1, ..Limits::default() };
        Server::new(listener, Hyper::new(service_fn(hello))).limits(limits)
    };
    let rig = Rig::serve_with(|supervisor, listener| {
        supervisor.service("web", server(listener)).grace(Duration::ZERO)
    });
    let _client = silent(&rig.network, &rig);
    rig.pass(1_000 * MILLIS);
    rig.signal(Signal::Term);
    let report = rig.report();
    assert!(report.is_graceful(), "{report}");
}

#[test]
fn a_client_that_never_says_goodbye_is_lingered_for_like_any_other() {
    let (rig, network) = serve();
    let client = silent(&network, &rig);
    rig.signal(Signal::Term);
    rig.pass(1_950 * MILLIS);
    assert!(!client.stream.is_closed(), "it has two seconds");
    rig.pass(100 * MILLIS);
    assert!(client.stream.is_closed() && !client.stream.is_gone(), "it can read the last of it");
    rig.pass(100 * MILLIS);
    assert!(client.stream.is_gone());
    assert!(rig.report().is_graceful());
}
