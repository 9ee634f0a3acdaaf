//! The testing kit, used as its users do.

use std::time::Duration;

use adieu::http::Http;
use adieu::http::http_types::{Request, Response, Result};
use adieu::testing::Rig;
use adieu::{Server, Signal};
use futures_lite::future;

async fn hello(_: Request) -> Result<Response> {
    Ok("hello".into())
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";

#[test]
fn a_rig_of_one_service_has_its_clock_its_network_and_its_signals() {
    let rig = Rig::serve("web", Http::new(hello));
    let client = rig.ask(GET);
    assert!(client.text().ends_with("hello"));
    assert!(!client.is_closed() && !rig.is_over());
    rig.pass(Duration::from_secs(75));
    assert!(client.is_closed(), "it was idle for as long as it may");
    rig.signal(Signal::Term);
    assert!(rig.is_over());
    assert!(rig.report().is_graceful());
}

#[test]
fn a_rig_takes_settings_of_supervisor_and_server() {
    let rig = Rig::serve_with(|supervisor, listener| {
        let server = Server::new(listener, Http::new(hello)).max_connections(1);
        supervisor.grace(Duration::ZERO).service("web", server)
    });
    let (_first, second) = (rig.connect(), rig.ask(GET));
    assert_eq!(second.text(), "", "it waits in the accept queue");
}

#[test]
fn what_a_client_of_ones_own_does_runs_beside_the_services() {
    let rig = Rig::start(|supervisor| supervisor);
    let (say, said) = async_channel::unbounded();
    let task = rig.spawn(async move { said.recv().await });
    assert!(!task.is_finished());
    say.try_send("it").unwrap();
    rig.settle();
    assert!(task.is_finished());
    assert_eq!(rig.complete(task), Ok("it"));
    let turns = async {
        future::yield_now().await;
        future::yield_now().await;
        3
    };
    assert_eq!(rig.complete(turns), 3);
}

#[test]
#[should_panic(expected = "it waits for what does not come")]
fn a_future_that_waits_for_ever_is_a_failed_test_and_not_one_that_hangs() {
    Rig::start(|supervisor| supervisor).complete(std::future::pending::<()>());
}

#[test]
#[should_panic(expected = "the run is not over")]
fn a_run_that_goes_on_is_a_failed_test_and_not_one_that_hangs() {
    Rig::serve("web", Http::new(hello)).report();
}

#[test]
#[should_panic(expected = "somebody listens")]
fn a_client_of_nobody_is_a_failed_test() {
    Rig::start(|supervisor| supervisor).connect();
}

#[cfg(feature = "hyper")]
mod http2 {
    use std::convert::Infallible;
    use std::future::poll_fn;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll};

    use adieu::hyper::h2::Reason;
    use adieu::hyper::hyper::body::{Body, Bytes, Frame};
    use adieu::hyper::hyper::service::service_fn;
    use adieu::hyper::hyper::{HeaderMap, Request, Response, Version};
    use adieu::hyper::{Hyper, RequestBody};

    use super::*;

    type Answer = std::result::Result<Response<String>, Infallible>;

    /// Answers with what came, or never.
    async fn echo(request: Request<RequestBody>) -> Answer {
        let path = request.uri().path().to_owned();
        if path == "/never" {
            std::future::pending::<()>().await;
        }
        let told = format!("{} {path} {:?}\n", request.method(), request.uri().host());
        assert_eq!(request.version(), Version::HTTP_2);
        let mut body = pin!(request.into_body());
        let mut content = Vec::new();
        while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let Ok(frame) = frame else { return Ok(Response::new("it was cut".to_owned())) };
            match frame.into_data() {
                Ok(data) => content.extend(data),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap();
                    content.extend(trailers["sum"].as_bytes());
                }
            }
        }
        Ok(Response::new(told + &String::from_utf8(content).unwrap()))
    }

    fn text(answer: &Response<Bytes>) -> &str {
        std::str::from_utf8(answer.body()).unwrap()
    }

    #[test]
    fn requests_are_answered_side_by_side_on_one_connection() {
        let rig = Rig::serve("web", Hyper::new(service_fn(echo)));
        let client = rig.http2();
        let never = rig.spawn(client.get("/never"));
        let answer = rig.complete(client.get("/a?b")).unwrap();
        assert_eq!(text(&answer), "GET /a Some(\"test\")\n");
        let elsewhere = Request::put("http://example.com/x").body("words".to_owned()).unwrap();
        let answer = rig.complete(client.send(elsewhere)).unwrap();
        assert_eq!(text(&answer), "PUT /x Some(\"example.com\")\nwords");
        assert!(!never.is_finished());
        rig.signal(Signal::Term);
        rig.pass(Duration::from_secs(10));
        assert!(rig.complete(never).is_err(), "what is cut off does not look like an answer");
        let report = rig.report();
        assert_eq!((report.exit_status(), report.services[0].counts.accepted), (124, 1));
    }

    #[test]
    fn a_body_goes_through_windows_that_are_smaller_both_ways() {
        let rig = Rig::serve("web", Hyper::new(service_fn(echo)));
        let client = rig.http2();
        let words = "0123456789".repeat(300_000);
        let request = Request::post("/").body(words.clone()).unwrap();
        let answer = rig.complete(client.send(request)).unwrap();
        assert!(text(&answer).ends_with(&words) && answer.body().len() > 3_000_000);
    }

    /// Frames, and then an error or an end.
    struct Frames(Vec<Frame<Bytes>>, bool);

    impl Body for Frames {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<std::result::Result<Frame<Bytes>, &'static str>>> {
            Poll::Ready(match self.0.is_empty() {
                false => Some(Ok(self.0.remove(0))),
                true => self.1.then_some(Err("it fails")),
            })
        }
    }

    #[test]
    fn a_request_may_have_trailers_and_its_body_may_fail() {
        let rig = Rig::serve("web", Hyper::new(service_fn(echo)));
        let client = rig.http2();
        let data = Frame::data(Bytes::from_static(b"words and "));
        let trailers = HeaderMap::from_iter([("sum".parse().unwrap(), "42".parse().unwrap())]);
        let frames = Frames(vec![data, Frame::trailers(trailers)], false);
        let answer = rig.complete(client.send(Request::post("/").body(frames).unwrap())).unwrap();
        assert!(text(&answer).ends_with("\nwords and 42"), "{}", text(&answer));
        let fails = Frames(vec![Frame::data(Bytes::from_static(b"wor"))], true);
        let failed = rig.complete(client.send(Request::post("/").body(fails).unwrap()));
        assert_eq!(failed.unwrap_err().reason(), Some(Reason::CANCEL));
        assert!(rig.complete(client.get("/")).is_ok(), "the connection goes on");
    }

    #[test]
    fn the_last_client_and_the_last_answer_close_the_connection() {
        let rig = Rig::serve("web", Hyper::new(service_fn(echo)));
        let client = rig.http2();
        rig.complete(client.clone().get("/")).unwrap();
        rig.signal(Signal::Term);
        assert!(rig.complete(client.get("/")).unwrap_err().is_go_away());
        drop(client);
        rig.settle();
        assert!(rig.report().is_graceful());
    }
}

#[cfg(feature = "grpc")]
mod grpc {
    use adieu::hyper::hyper::http::uri::PathAndQuery;
    use adieu::{Grpc, Hyper};
    use futures_lite::StreamExt;
    use tonic::Code;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;
    use tonic_prost::ProstCodec;

    use super::*;
    use crate::grpc::proto::{Echo, EchoServer, Words};

    fn serve() -> Rig {
        let grpc = Grpc::new().service(EchoServer::new(Echo));
        Rig::serve("grpc", Hyper::new(grpc))
    }

    #[test]
    fn clients_that_tonic_has_generated_make_calls_in_memory() {
        let rig = serve();
        let mut health = HealthClient::new(rig.http2());
        let request = HealthCheckRequest::default();
        let answer = rig.complete(health.check(request.clone())).unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
        let unknown = HealthCheckRequest { service: "nobody".to_owned() };
        let refused = rig.complete(health.check(unknown)).unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "a status comes in trailers");

        let mut watched = rig.complete(health.watch(request.clone())).unwrap().into_inner();
        let first = rig.complete(watched.message()).unwrap().unwrap();
        assert_eq!(first.status(), ServingStatus::Serving);
        rig.signal(Signal::Term);
        let last = rig.complete(watched.message()).unwrap().unwrap();
        assert_eq!(last.status(), ServingStatus::NotServing);
        assert_eq!(rig.complete(watched.message()).unwrap(), None);
        assert!(rig.complete(health.check(request)).is_err(), "the server has said GOAWAY");
        drop((watched, health));
        assert!(rig.report().is_graceful());
    }

    #[test]
    fn a_conversation_goes_on_while_it_drains() {
        let rig = serve();
        let mut client = tonic::client::Grpc::new(rig.http2());
        let (say, said) = async_channel::unbounded::<Words>();
        let path = PathAndQuery::from_static("/adieu.echo.Echo/Converse");
        let answers = rig.complete(async {
            client.ready().await.unwrap();
            let codec = ProstCodec::<Words, Words>::default();
            client.streaming(tonic::Request::new(said), path, codec).await
        });
        let mut answers = answers.unwrap().into_inner();
        rig.signal(Signal::Term);
        for text in ["one", "two"] {
            say.try_send(Words { text: text.to_owned(), ..Words::default() }).unwrap();
            assert_eq!(rig.complete(answers.next()).unwrap().unwrap().text, text);
        }
        say.close();
        assert!(rig.complete(answers.next()).is_none());
        drop((answers, client));
        assert!(rig.report().is_graceful());
    }
}
