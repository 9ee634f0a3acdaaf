//! Clients of `Hyper` over real TCP that go away, half or for good, and the last word to those that stay: what memory
//! is kinder to than the system.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::Pin;

use adieu::ClientEnd;
use adieu::hyper::hyper::service::service_fn;
use adieu::hyper::hyper::{Request, Response};
use adieu::hyper::{Exchange, Hyper, RequestBody};
use async_channel::{Receiver, Sender, bounded};

use crate::ends::{Client, End, SECOND, serve};
use crate::web::get;

type Answer = Result<Response<String>, Infallible>;

/// Says when it is dropped.
struct Work(Sender<()>);

impl Drop for Work {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

/// Handlers that never end, and what tells that one was dropped.
fn endless() -> (impl Fn(Request<RequestBody>) -> Endless, Receiver<()>) {
    let (sender, dropped) = bounded(1);
    let handler = move |_| -> Endless {
        let work = Work(sender.clone());
        Box::pin(async move {
            let _work = work;
            pending().await
        })
    };
    (handler, dropped)
}

type Endless = Pin<Box<dyn Future<Output = Answer>>>;

#[test]
fn the_handler_of_a_client_that_has_closed_for_good_is_dropped_if_asked_for() {
    let (handler, dropped) = endless();
    let hyper = Hyper::new(service_fn(handler)).drop_handler_when_client_goes(true);
    let ((), report) = serve(hyper, async |mut client: Client| {
        client.send(&get("/", "")).await;
        client.pass(SECOND).await;
        // curl(1) out of patience: a FIN, and nothing unread.
        drop(client);
        dropped.recv().await.expect("it is dropped");
    });
    assert!(report.is_graceful(), "{report}");
    assert_eq!(report.services[0].counts.dropped, 1);
}

#[test]
fn a_client_that_has_closed_its_side_skips_the_question_and_has_its_answer() {
    let hyper = Hyper::new(service_fn(async |request: Request<RequestBody>| -> Answer {
        let exchange = request.extensions().get::<Exchange>().expect("each has one");
        exchange.sleep(SECOND).await;
        Ok(Response::new("answered".to_owned()))
    }));
    let hyper = hyper.drop_handler_when_client_goes(true);
    let (taken, report) = serve(hyper, async |mut client: Client| {
        client.send(&get("/", "")).await;
        client.half_close();
        let (question, mut taken) = (b"HTTP/1.1 100 Continue\r\n\r\n", Vec::new());
        client.takes(question.len(), &mut taken).await;
        assert_eq!(taken, question);
        client.pass(SECOND).await;
        assert_eq!(client.takes(usize::MAX >> 40, &mut taken).await, Some(End::Clean));
        String::from_utf8(taken).expect("it is text")
    });
    assert!(taken.contains("HTTP/1.1 200 OK\r\n") && taken.ends_with("answered"), "{taken}");
    assert_eq!(report.services[0].counts.dropped, 0);
}

#[test]
fn without_dropping_the_straggler_says_that_its_client_has_closed_its_side() {
    let (handler, _dropped) = endless();
    let ((), report) = serve(Hyper::new(service_fn(handler)), async |mut client: Client| {
        client.send(&get("/", "")).await;
        client.half_close();
        client.pass(SECOND).await;
        client.signal();
        client.pass(SECOND).await;
        client.pass(10 * SECOND).await;
        let mut taken = Vec::new();
        assert_eq!(client.takes(1000, &mut taken).await, Some(End::Clean));
        assert!(taken.starts_with(b"HTTP/1.1 503 "), "{}", taken.escape_ascii());
    });
    assert_eq!(report.exit_status(), 124);
    let straggler = report.stragglers[0].connection.as_ref().expect("it is a connection");
    assert_eq!(straggler.client, ClientEnd::Closed);
}

#[test]
fn the_last_word_reaches_a_client_whose_bytes_nobody_has_read() {
    let (handler, _dropped) = endless();
    let ((), report) = serve(Hyper::new(service_fn(handler)), async |mut client: Client| {
        client.send(&(get("/", "") + &get("/more", "").repeat(1_000))).await;
        client.pass(SECOND).await;
        client.signal();
        client.pass(SECOND).await;
        client.pass(10 * SECOND).await;
        let mut taken = Vec::new();
        assert_eq!(client.takes(1000, &mut taken).await, Some(End::Clean));
        assert!(taken.starts_with(b"HTTP/1.1 503 "), "{}", taken.escape_ascii());
        assert!(taken.ends_with(b"\r\n\r\n"));
    });
    assert_eq!((report.exit_status(), report.stragglers.len()), (124, 1));
}
