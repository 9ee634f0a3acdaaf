//! How connections of HTTP/2 end: told to go, left by their clients, cut off, too slow.

mod clients;
mod goodbye;
mod last_word;
mod rates;
mod streams;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use adieu::hyper::hyper::body::{Body, Bytes, Frame, SizeHint};
use adieu::hyper::hyper::header::{CONTENT_TYPE, HeaderValue};
use adieu::hyper::hyper::{Request, Response};
use adieu::hyper::{Exchange, Hyper, RequestBody};
use adieu::testing::MemoryListener;
use adieu::{Counts, Server, Status, Supervisor};
use async_channel::{Receiver, Sender, unbounded};
use futures_lite::Stream;

use crate::h2::{self, Client};
use crate::rig::Rig;

pub const SECOND: Duration = Duration::from_secs(1);

/// A server over HTTP/2, and what can be seen of its handlers.
pub struct Web {
    pub rig: Rig,
    pub seen: Rc<Seen>,
}

/// What can be seen of the handlers.
#[derive(Default)]
pub struct Seen {
    /// How many requests they have begun to answer.
    pub asked: Cell<usize>,
    /// How often the handlers of `/polled` had a turn.
    pub polls: Cell<usize>,
    /// How many were dropped before they had answered.
    pub dropped: Cell<usize>,
    /// How many were told that the client is gone.
    pub told: Cell<usize>,
    /// Where lines for the streams come from.
    pub lines: RefCell<Vec<Sender<Bytes>>>,
    status: RefCell<Option<Status>>,
}

/// Counts a handler that is dropped.
struct AtWork(Rc<Seen>, bool);

impl Drop for AtWork {
    fn drop(&mut self) {
        if !self.1 {
            self.0.dropped.set(self.0.dropped.get() + 1);
        }
    }
}

impl Web {
    pub fn start() -> Web {
        Web::with(|supervisor| supervisor, |server| server)
    }

    /// `of_run` and `of_server` set what the test is about.
    pub fn with(
        of_run: impl FnOnce(Supervisor) -> Supervisor,
        of_server: impl FnOnce(
            Server<MemoryListener, Hyper<Paths>>,
        ) -> Server<MemoryListener, Hyper<Paths>>,
    ) -> Web {
        let seen = Rc::new(Seen::default());
        let (paths, observed) = (Paths(seen.clone()), seen.clone());
        // A service that hands out the view of the run.
        let observer = async move |cx: adieu::Context| {
            *observed.status.borrow_mut() = Some(cx.status().clone());
            Ok::<_, Infallible>(())
        };
        let rig = Rig::serve_with(|supervisor, listener| {
            let server = of_server(Server::new(listener, Hyper::new(paths)));
            of_run(supervisor).service("web", server).service("observer", observer)
        });
        Web { rig, seen }
    }

    /// A client whose streams have this window at first.
    pub fn client(&self, window: u32) -> Client {
        let client = Client::connect(&self.rig.network, window);
        self.rig.settle();
        client
    }

    pub fn counts(&self) -> Counts {
        let status = self.seen.status.borrow();
        status.as_ref().expect("the run has begun").services()[0].counts.clone()
    }

    /// Passes time until the run is over. Tells how long it took.
    pub fn ends_after(&self, mut step: impl FnMut()) -> Duration {
        let mut passed = Duration::ZERO;
        while !self.rig.is_over() {
            assert!(passed < 100 * SECOND, "the run does not end");
            self.rig.pass(SECOND / 10);
            passed += SECOND / 10;
            step();
        }
        passed
    }
}

/// The kinds of frames of one stream, or with 0 of the connection, in their order.
pub fn kinds(frames: &[h2::Frame], stream: u32) -> Vec<u8> {
    frames.iter().filter(|frame| frame.stream == stream).map(|frame| frame.kind).collect()
}

/// The frames of a kind.
pub fn of_kind(frames: &[h2::Frame], kind: u8) -> Vec<h2::Frame> {
    frames.iter().filter(|frame| frame.kind == kind).cloned().collect()
}

/// The service: what it does is in the path.
pub struct Paths(Rc<Seen>);

impl adieu::hyper::hyper::service::Service<Request<RequestBody>> for Paths {
    type Response = Response<Content>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Content>, Infallible>>>>;

    fn call(&self, request: Request<RequestBody>) -> Self::Future {
        let seen = self.0.clone();
        Box::pin(async move {
            seen.asked.set(seen.asked.get() + 1);
            let mut at_work = AtWork(seen.clone(), false);
            let response = answer(request, &seen).await;
            at_work.1 = true;
            Ok(response)
        })
    }
}

async fn answer(mut request: Request<RequestBody>, seen: &Rc<Seen>) -> Response<Content> {
    let exchange = request.extensions().get::<Exchange>().expect("each has one").clone();
    let path = request.uri().path().to_owned();
    let (what, number) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    match what {
        "sleep" => exchange.sleep(number.parse::<u32>().expect("seconds") * SECOND).await,
        "never" => pending().await,
        "polled" => {
            poll_fn(|_| {
                seen.polls.set(seen.polls.get() + 1);
                Poll::<()>::Pending
            })
            .await
        }
        "told" => {
            exchange.client_gone().await;
            seen.told.set(seen.told.get() + 1);
        }
        "told_and_on" => {
            exchange.client_gone().await;
            seen.told.set(seen.told.get() + 1);
            pending().await
        }
        "big" => {
            let length = number.parse().expect("a length");
            return Response::new(Content::Whole(Some(vec![b'x'; length].into())));
        }
        "upload" => {
            let mut length = 0;
            let body = request.body_mut();
            while let Some(frame) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
                let Ok(frame) = frame else { break };
                length += frame.data_ref().map_or(0, Bytes::len);
            }
            return Response::new(Content::Whole(Some(length.to_string().into())));
        }
        "stream" => {
            let (sender, lines) = unbounded();
            seen.lines.borrow_mut().push(sender);
            let kind = match number {
                "events" => "text/event-stream",
                "EVENTS" => "Text/Event-Stream; charset=utf-8",
                _ => "text/plain",
            };
            let mut response = Response::new(Content::Lines(Box::pin(lines)));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            return response;
        }
        _ => {}
    }
    Response::new(Content::Whole(Some("hello".into())))
}

/// The body of an answer.
pub enum Content {
    Whole(Option<Bytes>),
    Lines(Pin<Box<Receiver<Bytes>>>),
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Lines(lines) => {
                lines.as_mut().poll_next(cx).map(|line| line.map(|line| Ok(Frame::data(line))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Content::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Content::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            Content::Lines(_) => SizeHint::default(),
        }
    }
}
