//! The handler of `Hyper`: it does what the plan says.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{self, Poll, ready};

use adieu::Context;
use adieu::hyper::hyper::body::{Body, Bytes, Frame, SizeHint};
use adieu::hyper::hyper::header::HeaderMap;
use adieu::hyper::hyper::rt::{Read, ReadBuf, Write};
use adieu::hyper::hyper::service::{Service, service_fn};
use adieu::hyper::hyper::upgrade::{OnUpgrade, Upgraded, on};
use adieu::hyper::hyper::{Request, Response, StatusCode};
use adieu::hyper::{Exchange, Hyper, Limits, RequestBody};
use async_channel::Receiver;
use futures_lite::Stream;

use crate::client_plan::Then;
use crate::content::content;
use crate::job::Job;
use crate::world::World;

pub fn service(
    world: Rc<World>,
    cx: Context,
    limits: Limits,
) -> Hyper<
    impl Service<
        Request<RequestBody>,
        Response = Response<Content>,
        Error = Infallible,
        Future: 'static,
    >,
> {
    let handler = move |request| {
        let (world, cx) = (world.clone(), cx.clone());
        async move { Ok(handle(world, cx, request).await) }
    };
    Hyper::new(service_fn(handler)).limits(limits)
}

async fn handle(
    world: Rc<World>,
    cx: Context,
    mut request: Request<RequestBody>,
) -> Response<Content> {
    let Some(job) = Job::begin(&world, request.uri().path()) else {
        return Response::new(Content::whole(Vec::new()));
    };
    let upgrade = on(&mut request);
    let draining = work(&job, &cx, request).await;
    let id = job.id();
    let mut response = Response::new(Content::whole(Vec::new()));
    let headers = response.headers_mut();
    headers.insert("x-id", id.parse().expect("it is a value"));
    // The server's own may be longer in another second, and the run another one.
    headers.insert("date", "Thu, 01 Jan 1970 00:00:00 GMT".parse().expect("it is a value"));
    match &job.plan().handling.then {
        Then::Answer(len) => *response.body_mut() = Content::whole(content(&id, *len)),
        Then::SayClose(len) => {
            headers.insert("connection", "close".parse().expect("it is a value"));
            *response.body_mut() = Content::whole(content(&id, *len));
        }
        Then::Stream(parts) => {
            let sleeper = cx.clone();
            let (work, parts) = job.in_parts(parts, async move |time| sleeper.sleep(time).await);
            cx.spawn(work);
            *response.body_mut() = Content::parts(parts);
        }
        Then::Fail(status) => {
            *response.status_mut() = StatusCode::from_u16(*status).expect("it is a status");
        }
        Then::Panic | Then::Never => {}
        Then::Upgrade { polite } => {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert("connection", "upgrade".parse().expect("it is a value"));
            headers.insert("upgrade", "echo".parse().expect("it is a value"));
            upgraded(&job, &cx, upgrade, *polite);
        }
    }
    job.end(draining());
    response
}

/// Reads the body if the plan says so, and takes its time. Returns what tells whether the drain has begun.
pub async fn work(
    job: &Job,
    cx: &Context,
    request: Request<RequestBody>,
) -> impl Fn() -> bool + use<> {
    let exchange = request.extensions().get::<Exchange>().cloned().expect("every request has one");
    let handling = &job.plan().handling;
    let mut body = pin!(request.into_body());
    if handling.reads_body {
        let mut bytes = Vec::new();
        loop {
            match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
                Some(Ok(frame)) => bytes.extend(frame.into_data().unwrap_or_default()),
                // The client has gone or stopped half-way: there is nothing to compare.
                Some(Err(_)) => break,
                None => {
                    job.check_body(&bytes);
                    break;
                }
            }
        }
    }
    cx.sleep(handling.takes).await;
    if let Then::Never = handling.then {
        pending::<()>().await;
    }
    move || exchange.shutdown().has_begun()
}

fn upgraded(job: &Job, cx: &Context, upgrade: OnUpgrade, polite: bool) {
    let (held, shutdown) = (job.held(), cx.shutdown().clone());
    cx.spawn(async move {
        let _held = held;
        let Ok(stream) = upgrade.await else { return };
        let echo = echo(stream);
        // The client may go at any time.
        let _ = if polite { shutdown.race(echo).await } else { Some(echo.await) };
    });
}

async fn echo(mut stream: Upgraded) -> io::Result<()> {
    let mut bytes = [0; 1000];
    loop {
        let read = poll_fn(|cx| {
            let mut buf = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut stream).poll_read(cx, buf.unfilled()))?;
            Poll::Ready(io::Result::Ok(buf.filled().len()))
        });
        let amount = read.await?;
        if amount == 0 {
            return Ok(());
        }
        let mut at = 0;
        while at < amount {
            at += poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, &bytes[at..amount])).await?;
        }
        poll_fn(|cx| Pin::new(&mut stream).poll_flush(cx)).await?;
    }
}

/// An answer's content: whole, or what a channel brings; and trailers.
pub struct Content {
    whole: Option<Bytes>,
    parts: Option<Pin<Box<Receiver<Vec<u8>>>>>,
    pub frame: fn(&[u8]) -> Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Content {
    pub fn whole(bytes: Vec<u8>) -> Content {
        let whole = (!bytes.is_empty()).then(|| bytes.into());
        Content { whole, parts: None, frame: <[u8]>::to_vec, trailers: None }
    }

    pub fn parts(parts: Receiver<Vec<u8>>) -> Content {
        Content { parts: Some(Box::pin(parts)), ..Content::whole(Vec::new()) }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        if let Some(whole) = this.whole.take() {
            return Poll::Ready(Some(Ok(Frame::data(whole))));
        }
        if let Some(parts) = &mut this.parts {
            if let Some(part) = ready!(parts.as_mut().poll_next(cx)) {
                return Poll::Ready(Some(Ok(Frame::data((this.frame)(&part).into()))));
            }
            this.parts = None;
        }
        Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.whole.is_none() && self.parts.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.parts {
            Some(_) => SizeHint::default(),
            None => SizeHint::with_exact(self.whole.as_ref().map_or(0, |whole| whole.len() as u64)),
        }
    }
}
