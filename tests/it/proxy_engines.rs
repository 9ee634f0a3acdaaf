//! Each engine behind PROXY headers: what it is told, and what the drain does.

use std::time::Duration;

use adieu::http::http_types::{Request, Response, Result};
use adieu::http::{Exchange, Http};
use adieu::testing::{MemoryStream, Rig};
use adieu::{Protocol, ProxyProtocol, Signal};

use crate::proxy_headers::{IPV6, V1, v2};
use crate::rig::GET;

const SLOW: &[u8] = b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n";

async fn handler(request: Request, exchange: Exchange) -> Result<Response> {
    if request.url().path() == "/slow" {
        exchange.sleep(Duration::from_secs(3)).await;
    }
    Ok(exchange.peer().to_string().into())
}

fn serve(protocol: impl Protocol<MemoryStream>) -> Rig {
    Rig::serve("web", ProxyProtocol::new("unix".parse().unwrap(), protocol))
}

/// Well-formed headers, each with the client that a handler must see.
fn headers() -> [(Vec<u8>, &'static str); 3] {
    [
        (V1.into(), "192.0.2.7:50312"),
        (v2(0x21, 0x21, IPV6), "[2001:db8::7]:50312"),
        (v2(0x20, 0, b""), "client 1"),
    ]
}

/// What one connection sees in the drain: seconds from the signal to its close, and how its answer begins.
struct Sees(f64, &'static str);

/// Asks in every way, and lets each connection see the drain. `slow` is for how long the slow handler
/// goes on in it, in seconds.
fn drains(serve: impl Fn() -> Rig, slow: f64) {
    let half = b"GET / HTTP/1.1\r\nHo";
    let table: &[(&str, &[&[u8]], Sees)] = &[
        ("no byte", &[], Sees(0.0, "")),
        ("half a header", &[b"PROXY TCP4 192."], Sees(2.0, "")),
        ("a header and no more", &[V1.as_bytes()], Sees(0.0, "")),
        ("half a head behind it", &[V1.as_bytes(), half], Sees(2.0, "HTTP/1.1 408 ")),
        ("a slow handler", &[V1.as_bytes(), SLOW], Sees(slow, "HTTP/1.1 200 ")),
        ("idle", &[V1.as_bytes(), GET], Sees(0.0, "")),
        ("arrived with the signal", &[V1.as_bytes(), GET], Sees(0.0, "HTTP/1.1 200 ")),
    ];
    for (name, sent, Sees(closes_after, answer)) in table {
        let rig = serve();
        let balancer = rig.connect();
        rig.pass(Duration::from_secs(1));
        sent.iter().for_each(|piece| balancer.send(piece));
        if *name != "arrived with the signal" {
            rig.settle();
        }
        if *name == "idle" {
            assert!(balancer.text().starts_with("HTTP/1.1 200 "), "{name}");
        }
        rig.signal(Signal::Term);
        let mut waited = 0.0;
        while !balancer.is_closed() {
            rig.pass(Duration::from_millis(50));
            waited += 0.05;
            assert!(waited < 11.0, "{name}: not closed");
        }
        assert!((waited - closes_after).abs() < 0.11, "{name}: after {waited} s");
        let text = balancer.text();
        assert!(text.starts_with(answer), "{name}: {text}");
        assert_eq!(answer.is_empty(), text.is_empty(), "{name}: {text}");
        if answer.ends_with("200 ") {
            assert!(text.ends_with("192.0.2.7:50312"), "{name}: {text}");
        }
        rig.pass(Duration::from_millis(100)); // the linger
        let report = rig.report();
        assert!(report.is_graceful(), "{name}: {report}");
        let counts = &report.service("web").unwrap().counts;
        assert_eq!(counts.drained + counts.closed_idle, 1, "{name}");
        assert_eq!(counts.refused, u64::from(*name == "half a header"), "{name}");
    }
}

/// Requests one after the other on one connection, each of which tells its client.
fn tells(rig: &Rig, header: &[u8], client: &str) {
    let balancer = rig.network.connect_as(1).unwrap();
    balancer.send(&[header, GET].concat());
    rig.settle();
    for _ in 0..2 {
        let text = balancer.text();
        assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with(client), "{text}");
        balancer.send(GET);
        rig.settle();
    }
}

#[test]
fn http_sees_the_client() {
    for (header, client) in headers() {
        tells(&serve(Http::new(handler)), &header, client);
    }
}

#[test]
fn the_drain_of_http_is_the_same_behind_a_header() {
    drains(|| serve(Http::new(handler)), 3.0);
}

#[cfg(feature = "hyper")]
mod hyper {
    use std::convert::Infallible;

    use adieu::hyper::hyper::body::Bytes;
    use adieu::hyper::hyper::service::service_fn;
    use adieu::hyper::hyper::{Request, Response};
    use adieu::hyper::{Exchange, Hyper, RequestBody};
    use adieu::testing::Http2Client;

    use super::*;

    async fn service(
        request: Request<RequestBody>,
    ) -> std::result::Result<Response<String>, Infallible> {
        let exchange = request.extensions().get::<Exchange>().expect("every request has one");
        if request.uri().path() == "/slow" {
            exchange.shutdown().begun().await;
        }
        Ok(Response::new(exchange.peer().to_string()))
    }

    /// A client of HTTP/2 that the balancer passes on.
    fn passed_on(rig: &Rig, header: &[u8]) -> Http2Client {
        let balancer = rig.network.connect_as(1).unwrap();
        balancer.send(header);
        rig.http2_over(balancer)
    }

    fn body(answer: &Response<Bytes>) -> &str {
        std::str::from_utf8(answer.body()).unwrap()
    }

    #[test]
    fn the_drain_of_hyper_is_the_same_behind_a_header() {
        drains(|| serve(Hyper::new(service_fn(service))), 0.0);
    }

    #[test]
    fn an_http2_stream_in_flight_ends_well_behind_a_header() {
        let rig = serve(Hyper::new(service_fn(service)));
        let http2 = passed_on(&rig, V1.as_bytes());
        let answer = rig.spawn(http2.get("/slow"));
        rig.signal(Signal::Term);
        assert_eq!(body(&rig.complete(answer).unwrap()), "192.0.2.7:50312");
        drop(http2);
        assert!(rig.report().is_graceful());
    }

    #[test]
    fn hyper_sees_the_client_over_either_version() {
        for (header, client) in headers() {
            let rig = serve(Hyper::new(service_fn(service)));
            tells(&rig, &header, client);
            let http2 = passed_on(&rig, &header);
            for _ in 0..2 {
                assert_eq!(body(&rig.complete(http2.get("/")).unwrap()), client);
            }
        }
    }

    #[cfg(feature = "grpc")]
    mod grpc {
        use std::future::{Ready, ready};
        use std::task::{Context, Poll};

        use adieu::Grpc;
        use tonic::Status;
        use tonic::body::Body;
        use tonic::server::NamedService;
        use tonic_health::pb::HealthCheckRequest;
        use tonic_health::pb::health_client::HealthClient;

        use super::*;

        /// Fails every call with words on whose it is.
        #[derive(Clone)]
        struct Whose;

        impl NamedService for Whose {
            const NAME: &'static str = "Whose";
        }

        impl tower_service::Service<Request<RequestBody>> for Whose {
            type Response = Response<Body>;
            type Error = Infallible;
            type Future = Ready<std::result::Result<Response<Body>, Infallible>>;

            fn poll_ready(
                &mut self,
                _: &mut Context<'_>,
            ) -> Poll<std::result::Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
                let exchange = request.extensions().get::<Exchange>().expect("as over HTTP/2");
                ready(Ok(Status::aborted(exchange.peer().to_string()).into_http()))
            }
        }

        #[test]
        fn grpc_sees_the_client() {
            for (header, client) in headers() {
                let grpc = Grpc::new().service(Whose);
                let rig = serve(Hyper::new(grpc).limits(Grpc::limits()));
                let http2 = passed_on(&rig, &header);
                let mut health = HealthClient::new(http2.clone());
                rig.complete(health.check(HealthCheckRequest::default())).unwrap();
                let answer = rig.complete(http2.get("/Whose/Connection")).unwrap();
                assert_eq!(answer.headers()["grpc-message"], client.replace(' ', "%20"));
            }
        }
    }
}
