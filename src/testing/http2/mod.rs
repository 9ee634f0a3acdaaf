//! A client that speaks HTTP/2 on a network in memory.

mod body;
mod io;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use ::h2::client::SendRequest;
use ::hyper::body::{Body, Bytes};
use ::hyper::http::uri::{Authority, Scheme};
use ::hyper::{Request, Response, Uri};
use smol::LocalExecutor;
use tower_service::Service;

use super::rig::Rig;
use super::stream::MemoryStream;
pub use body::Http2Body;
use io::Io;

/// A client that speaks HTTP/2 over one connection. (Feature `hyper`.)
///
/// It is a tower service, and so the channel of every client that tonic generates: `EchoClient::new(client)`.
/// Clones share the connection. When the last one and the last answer are dropped, it is closed.
///
/// ```
/// use std::convert::Infallible;
///
/// use adieu::Signal;
/// use adieu::hyper::hyper::service::service_fn;
/// use adieu::hyper::hyper::{Request, Response};
/// use adieu::hyper::{Hyper, RequestBody};
/// use adieu::testing::Rig;
///
/// async fn hello(_: Request<RequestBody>) -> Result<Response<String>, Infallible> {
///     Ok(Response::new("hello".to_owned()))
/// }
///
/// let rig = Rig::serve("web", Hyper::new(service_fn(hello)));
/// let client = rig.http2();
/// let answer = rig.complete(client.get("/"))?;
/// assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b"hello"[..]));
///
/// rig.signal(Signal::Term);
/// assert!(rig.complete(client.get("/")).unwrap_err().is_go_away());
/// drop(client);
/// assert!(rig.report().is_graceful());
/// # Ok::<(), adieu::hyper::h2::Error>(())
/// ```
#[derive(Clone)]
pub struct Http2Client {
    requests: SendRequest<Bytes>,
    /// Weak, or a task that holds a client would keep the executor that owns the task.
    executor: Weak<LocalExecutor<'static>>,
}

impl Rig {
    /// A client that speaks HTTP/2 with whoever listens on the rig's own network. (Feature `hyper`.)
    ///
    /// # Panics
    ///
    /// If nobody does.
    pub fn http2(&self) -> Http2Client {
        self.http2_over(self.connect())
    }

    /// The same over a connection that the test has made, for instance on another network.
    ///
    /// # Panics
    ///
    /// If the connection takes nothing.
    pub fn http2_over(&self, stream: MemoryStream) -> Http2Client {
        let handshake = ::h2::client::handshake(Io(stream));
        let (requests, connection) = self.complete(handshake).expect("it takes a preface");
        self.executor.spawn(async { drop(connection.await) }).detach();
        self.settle();
        Http2Client { requests, executor: Rc::downgrade(&self.executor) }
    }
}

impl Http2Client {
    /// Asks for a path. See [`send`](Http2Client::send).
    pub fn get(
        &self,
        path: &str,
    ) -> impl Future<Output = Result<Response<Bytes>, ::h2::Error>> + 'static {
        let request = Request::get(path).body(String::new()).expect("a path");
        self.send(request)
    }

    /// Sends a request, and gathers all of its answer but the trailers. A target without a host is asked of
    /// `http://test`.
    ///
    /// Give the future to [`Rig::complete`] if the answer comes by itself, or to [`Rig::spawn`] if time has
    /// to pass or the test takes steps meanwhile. Dropping it resets the stream with CANCEL.
    ///
    /// # Errors
    ///
    /// If the stream is reset or the connection has ended, or the server has said GOAWAY before.
    pub fn send<B>(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<Bytes>, ::h2::Error>> + 'static
    where
        B: Body<Data = Bytes> + 'static,
    {
        let mut client = self.clone();
        async move {
            poll_fn(|cx| client.requests.poll_ready(cx)).await?;
            let (head, body) = client.call(request).await?.into_parts();
            let mut body = pin!(body);
            let mut content = Vec::new();
            while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
                content.extend(frame?.into_data().unwrap_or_default());
            }
            Ok(Response::from_parts(head, content.into()))
        }
    }

    fn begin<B>(&mut self, request: Request<B>) -> Result<::h2::client::ResponseFuture, ::h2::Error>
    where
        B: Body<Data = Bytes> + 'static,
    {
        let (mut head, body) = request.into_parts();
        head.uri = with_host(head.uri);
        let ends = body.is_end_stream();
        let (answer, stream) = self.requests.send_request(Request::from_parts(head, ()), ends)?;
        if let Some(executor) = self.executor.upgrade().filter(|_| !ends) {
            executor.spawn(body::send(body, stream)).detach();
        }
        Ok(answer)
    }
}

fn with_host(uri: Uri) -> Uri {
    let mut parts = uri.into_parts();
    parts.scheme.get_or_insert(Scheme::HTTP);
    parts.authority.get_or_insert(Authority::from_static("test"));
    Uri::from_parts(parts).expect("a path has stood there")
}

impl<B> Service<Request<B>> for Http2Client
where
    B: Body<Data = Bytes> + 'static,
{
    type Response = Response<Http2Body>;
    type Error = ::h2::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Http2Body>, ::h2::Error>>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ::h2::Error>> {
        self.requests.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answer = self.begin(request);
        Box::pin(async { Ok(answer?.await?.map(Http2Body)) })
    }
}
