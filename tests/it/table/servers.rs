//! What the clients of the table are served by: the same few paths on every engine.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn, ready};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use adieu::http::http_types::{self, StatusCode};
use adieu::http::{Exchange, Http};
use adieu::hyper::hyper::body::{Body, Bytes, Frame};
use adieu::hyper::hyper::{self, Request, Response, service::service_fn};
use adieu::hyper::{Hyper, RequestBody};
use adieu::testing::{MemoryListener, MemoryStream};
use adieu::{Connection, Grpc, Server, Supervisor, Tcp};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use http_types::Result as HttpResult;

/// How long the answer of `/big` is, in bytes.
pub const BIG: usize = 200_000;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq)]
pub enum Engine {
    Http,
    Hyper1,
    Hyper2,
    Grpc,
    Tcp,
}

impl Engine {
    pub const ALL: [Engine; 5] =
        [Engine::Http, Engine::Hyper1, Engine::Hyper2, Engine::Grpc, Engine::Tcp];
}

/// What can be seen of a handler whose client is gone.
#[derive(Clone, Default)]
pub struct Log(Rc<Seen>);

#[derive(Default)]
struct Seen {
    dropped: Cell<bool>,
    over: Cell<Option<Duration>>,
}

impl Log {
    pub fn over(&self, after: Duration) {
        self.0.over.set(self.0.over.get().or(Some(after)));
    }

    /// `serves_on`: the run goes on anyway.
    pub fn words(&self, serves_on: bool) -> String {
        match (serves_on, self.0.dropped.get(), self.0.over.get()) {
            (true, true, _) => "its handler is dropped".to_owned(),
            (true, false, _) => "its handler works on".to_owned(),
            (false, _, Some(after)) if after <= SECOND / 5 => "not waited for".to_owned(),
            _ => "waited for".to_owned(),
        }
    }

    fn watch(&self) -> Dropped {
        Dropped(self.0.clone())
    }
}

struct Dropped(Rc<Seen>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.dropped.set(true);
    }
}

pub fn serve(engine: Engine, s: Supervisor, listener: MemoryListener, log: Log) -> Supervisor {
    match engine {
        Engine::Http => s.service("web", Server::new(listener, http(log))),
        Engine::Hyper1 | Engine::Hyper2 => {
            let service = service_fn(move |request| answer(request, log.clone()));
            s.service("web", Server::new(listener, Hyper::new(service)))
        }
        Engine::Grpc => {
            let grpc = Grpc::new().service(Calls(log));
            s.service("web", Server::new(listener, Hyper::new(grpc).limits(Grpc::limits())))
        }
        Engine::Tcp => s.service("web", Server::new(listener, Tcp::new(tcp(log)))),
    }
}

fn http(log: Log) -> Http {
    Http::new(move |mut request: http_types::Request, exchange: Exchange| {
        let log = log.clone();
        async move {
            let path = request.url().path().to_owned();
            let stream = |kind: &str| {
                let lines = Lines { said: false };
                let mut response = http_types::Response::new(StatusCode::Ok);
                let reader = futures_lite::io::BufReader::new(lines);
                response.set_body(http_types::Body::from_reader(reader, None));
                response.insert_header("content-type", kind);
                response
            };
            Ok(match path.as_str() {
                "/slow" => {
                    exchange.sleep(5 * SECOND).await;
                    "slow".into()
                }
                "/second" => {
                    exchange.sleep(SECOND).await;
                    "second".into()
                }
                "/never" => {
                    let _watched = log.watch();
                    pending::<HttpResult<_>>().await?
                }
                "/upload" => request.body_bytes().await?.len().to_string().into(),
                "/big" => vec![b'x'; BIG].into(),
                "/events" => stream("text/event-stream"),
                "/stream" => stream("text/plain"),
                "/upgrade" => upgrade(&exchange).await,
                _ => "hello".into(),
            })
        }
    })
}

async fn upgrade(exchange: &Exchange) -> http_types::Response {
    let mut response = http_types::Response::new(StatusCode::SwitchingProtocols);
    response.insert_header("connection", "upgrade");
    response.insert_header("upgrade", "table");
    let upgraded = response.recv_upgrade().await;
    let shutdown = exchange.shutdown().clone();
    exchange.spawn(async move {
        let mut stream = upgraded.await.expect("it is upgraded");
        let mut buffer = [0; 10];
        if shutdown.race(stream.read(&mut buffer)).await.is_none() {
            let _ = stream.write_all(b"goodbye").await;
        }
    });
    response
}

/// A line, and then nothing for ever.
struct Lines {
    said: bool,
}

const LINE: &[u8] = b"data: 1\n\n";

impl futures_lite::AsyncRead for Lines {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if std::mem::replace(&mut self.said, true) {
            return Poll::Pending;
        }
        buf[..LINE.len()].copy_from_slice(LINE);
        Poll::Ready(Ok(LINE.len()))
    }
}

impl Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::replace(&mut self.said, true) {
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(LINE)))))
    }
}

/// Either of two bodies, and trailers if it is a gRPC answer.
pub struct Content {
    whole: Option<Bytes>,
    lines: Option<Lines>,
    trailers: bool,
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(lines) = &mut self.lines {
            return Pin::new(lines).poll_frame(cx);
        }
        if let Some(whole) = self.whole.take() {
            return Poll::Ready(Some(Ok(Frame::data(whole))));
        }
        if std::mem::replace(&mut self.trailers, false) {
            let mut trailers = hyper::HeaderMap::new();
            trailers.insert("grpc-status", hyper::header::HeaderValue::from_static("0"));
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Poll::Ready(None)
    }
}

async fn answer(
    mut request: Request<RequestBody>,
    log: Log,
) -> Result<Response<Content>, Infallible> {
    let exchange = request.extensions().get::<Exchange>().expect("each has one").clone();
    let is_grpc = request.uri().path().starts_with("/table.Table");
    let path = request.uri().path().trim_start_matches("/table.Table").to_owned();
    let mut response = Response::new(());
    let whole = |bytes: Vec<u8>| {
        let bytes = if is_grpc { message(&bytes) } else { bytes };
        Content { whole: Some(bytes.into()), lines: None, trailers: is_grpc }
    };
    let content = match path.as_str() {
        "/slow" => {
            exchange.sleep(5 * SECOND).await;
            whole(b"slow".to_vec())
        }
        "/second" => {
            exchange.sleep(SECOND).await;
            whole(b"second".to_vec())
        }
        "/never" => {
            let _watched = log.watch();
            pending().await
        }
        "/upload" => {
            while poll_fn(|cx| Pin::new(request.body_mut()).poll_frame(cx))
                .await
                .is_some_and(|frame| frame.is_ok())
            {}
            whole(b"thanks".to_vec())
        }
        "/big" => whole(vec![b'x'; BIG]),
        "/events" | "/stream" => {
            if path == "/events" {
                let kind = hyper::header::HeaderValue::from_static("text/event-stream");
                response.headers_mut().insert("content-type", kind);
            }
            Content { whole: None, lines: Some(Lines { said: false }), trailers: false }
        }
        "/upgrade" => {
            let upgraded = hyper::upgrade::on(&mut request);
            let shutdown = exchange.shutdown().clone();
            exchange.spawn(async move {
                let stream = upgraded.await.expect("it is upgraded");
                let mut stream = Held(stream);
                shutdown.begun().await;
                stream.say(b"goodbye").await;
            });
            *response.status_mut() = hyper::StatusCode::SWITCHING_PROTOCOLS;
            let table = hyper::header::HeaderValue::from_static("table");
            response.headers_mut().insert("upgrade", table);
            Content { whole: None, lines: None, trailers: false }
        }
        _ => whole(b"hello".to_vec()),
    };
    if is_grpc {
        let kind = hyper::header::HeaderValue::from_static("application/grpc");
        response.headers_mut().insert("content-type", kind);
    }
    Ok(response.map(|()| content))
}

struct Held(hyper::upgrade::Upgraded);

impl Held {
    async fn say(&mut self, words: &[u8]) {
        use hyper::rt::Write;
        let write = poll_fn(|cx| Pin::new(&mut self.0).poll_write(cx, words));
        write.await.expect("there is room");
        poll_fn(|cx| Pin::new(&mut self.0).poll_shutdown(cx)).await.expect("it is open");
    }
}

/// A message of gRPC: a mark, its length, itself.
fn message(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("it is short").to_be_bytes();
    [&[0], &length[..], bytes].concat()
}

/// The same paths as calls.
#[derive(Clone)]
struct Calls(Log);

impl tonic::server::NamedService for Calls {
    const NAME: &'static str = "table.Table";
}

impl tower_service::Service<Request<RequestBody>> for Calls {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let log = self.0.clone();
        Box::pin(async move { Ok(answer(request, log).await?.map(tonic::body::Body::new)) })
    }
}

/// A handler of lines: each is a path.
fn tcp(log: Log) -> impl AsyncFn(&mut MemoryStream, &Connection) -> io::Result<()> + 'static {
    let log = RefCell::new(log);
    async move |stream: &mut MemoryStream, connection: &Connection| {
        let mut bytes = Vec::new();
        while connection.read(stream, &mut bytes).await? > 0 {
            let path = String::from_utf8(std::mem::take(&mut bytes)).expect("it is a path");
            let cx = connection.context();
            match path.as_str() {
                "/slow" => cx.sleep(5 * SECOND).await,
                "/never" => {
                    let _watched = log.borrow().watch();
                    pending().await
                }
                "/big" => stream.write_all(&vec![b'x'; BIG]).await?,
                "/stream" => {
                    stream.write_all(LINE).await?;
                    pending().await
                }
                "/upgrade" => {
                    connection.shutdown().begun().await;
                    stream.write_all(b"goodbye").await?;
                    return ready(Ok(())).await;
                }
                _ => {}
            }
            stream.write_all(b"done").await?;
        }
        Ok(())
    }
}
