//! The service of gRPC: what tonic would generate, by hand, for messages that are bytes.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{self, Poll};

use adieu::hyper::hyper::header::{HeaderMap, HeaderValue};
use adieu::hyper::hyper::{Request, Response};
use adieu::hyper::{Hyper, Limits, RequestBody};
use adieu::{Context, Grpc};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower_service::Service;

use crate::client_plan::Then;
use crate::content::content;
use crate::http2::{GRPC, message};
use crate::job::Job;
use crate::on_hyper::{Content, work};
use crate::world::World;

pub fn service(world: Rc<World>, cx: Context, limits: Limits) -> Hyper<Grpc> {
    let limits = Limits { body_size: u64::MAX, ..limits };
    Hyper::new(Grpc::new().service(Simulated { world, cx })).limits(limits)
}

#[derive(Clone)]
struct Simulated {
    world: Rc<World>,
    cx: Context,
}

impl NamedService for Simulated {
    const NAME: &str = GRPC;
}

impl Service<Request<RequestBody>> for Simulated {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>>>>;

    fn poll_ready(&mut self, _cx: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let Simulated { world, cx } = self.clone();
        Box::pin(async move { Ok(handle(world, cx, request).await) })
    }
}

async fn handle(world: Rc<World>, cx: Context, request: Request<RequestBody>) -> Response<Body> {
    let path = request.uri().path().trim_start_matches('/');
    let path = path.strip_prefix(GRPC).unwrap_or_default().to_owned();
    let Some(job) = Job::begin(&world, &path) else {
        return Status::not_found("no such request").into_http();
    };
    let draining = work(&job, &cx, request).await;
    let id = job.id();
    let content = match &job.plan().handling.then {
        Then::Answer(len) | Then::SayClose(len) => {
            Some(Content::whole(message(&content(&id, *len))))
        }
        Then::Stream(parts) => {
            let sleeper = cx.clone();
            let (work, parts) = job.in_parts(parts, async move |time| sleeper.sleep(time).await);
            cx.spawn(work);
            Some(Content::parts(parts))
        }
        Then::Fail(_) | Then::Panic | Then::Never | Then::Upgrade { .. } => None,
    };
    job.end(draining());
    let Some(mut content) = content else { return Status::internal("simulated").into_http() };
    content.frame = message;
    content.trailers = Some(HeaderMap::from_iter([(
        "grpc-status".parse().expect("it is a name"),
        HeaderValue::from_static("0"),
    )]));
    let mut response = Response::new(Body::new(content));
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("date", HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"));
    headers.insert("x-id", id.parse().expect("it is a value"));
    response
}
