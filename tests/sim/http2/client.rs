//! A client that speaks HTTP/2, with h2: its streams run side by side, as its plan says.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use adieu::hyper::h2::client::{Builder, ResponseFuture, SendRequest};
use adieu::hyper::h2::{self, SendStream};
use adieu::hyper::hyper::body::Bytes;
use adieu::hyper::hyper::{Method, Request};
use adieu::testing::MemoryStream;
use async_channel::{Receiver, Sender};
use futures_lite::future;

use super::frames::{Frames, PREFACE};
use super::io::{Ears, Io, Line};
use super::plan::Plan;
use super::{Answered, message, path, watch};
use crate::client::id;
use crate::client_plan::{BodyPlan, ClientPlan, RequestPlan};
use crate::content::content;
use crate::reader::Answer;
use crate::world::World;

struct Client {
    world: Rc<World>,
    number: usize,
    line: Rc<Line>,
    /// All its requests were answered, or will not be.
    is_done: Cell<bool>,
}

/// The whole life of one client, but for its end.
pub async fn live(world: &Rc<World>, number: usize, http2: &Plan, stream: MemoryStream) {
    let plan = &world.plan.clients[number];
    {
        let seen = &mut *world.seen[number].borrow_mut();
        seen.requests.resize_with(plan.requests.len(), Default::default);
        seen.http2.streams.resize_with(plan.requests.len(), Default::default);
    }
    let line = Rc::new(Line::new(stream));
    let client = Client { world: world.clone(), number, line, is_done: Cell::default() };
    let ended = match http2.preface {
        Some(length) => client.send_part_of_a_preface(length).await,
        None => future::or(client.talk(plan, http2), client.half_close(http2)).await,
    };
    let stamp = world.tell(format_args!("client {number}: sees the end: {ended:?}"));
    let seen = &mut world.seen[number].borrow_mut();
    seen.ended = Some(stamp);
    seen.reset = ended.is_err_and(|kind| kind == io::ErrorKind::ConnectionReset);
    seen.left = client.is_done.get() && http2.leaves;
}

impl Client {
    async fn send_part_of_a_preface(&self, length: usize) -> Result<(), io::ErrorKind> {
        if length > 0 {
            self.line.send(&PREFACE[..length]);
        }
        let mut buffer = [0; 1000];
        loop {
            match poll_fn(|cx| self.line.poll_read(cx, &mut buffer)).await {
                Ok(0) => return Ok(()),
                Ok(amount) => {
                    let seen = &mut self.world.seen[self.number].borrow_mut();
                    seen.raw_received.extend(&buffer[..amount]);
                }
                Err(error) => return Err(error.kind()),
            }
        }
    }

    /// Closes its side when the plan says so, whatever is in flight.
    async fn half_close(&self, http2: &Plan) -> Result<(), io::ErrorKind> {
        let Some(after) = http2.half_closes else { return pending().await };
        self.world.sleep(after).await;
        self.world.tell(format_args!("client {}: half-closes", self.number));
        self.world.seen[self.number].borrow_mut().half_closed = true;
        self.line.half_close();
        pending().await
    }

    /// Makes all requests, and waits for the end of the connection.
    async fn talk(&self, plan: &ClientPlan, http2: &Plan) -> Result<(), io::ErrorKind> {
        let ears = Ears::new(http2.is_deaf);
        let (line, world) = (self.line.clone(), self.world.clone());
        let (number, said) = (self.number, Frames::behind_preface());
        let io = Io { line, world, number, said, reads: plan.reads, resting: None, ears };
        let shaken = Builder::new().initial_window_size(http2.window).handshake(io).await;
        let (requests, connection) = shaken.map_err(|error| kind(&error))?;
        let (open, closed) = async_channel::bounded::<()>(1);
        let ended = Cell::new(Ok(()));
        let drive = async {
            ended.set(connection.await.map_err(|error| kind(&error)));
            drop(open);
        };
        let (asks, held) = (self.ask_all(plan, http2, requests.clone()), requests.clone());
        let ask = async {
            let _held = held;
            asks.await;
            self.is_done.set(true);
            if !http2.leaves {
                let Err(_closed) = closed.recv().await else { return };
            }
        };
        let watch = watch::health(&self.world, self.number, http2, requests);
        // When this is over nobody holds the connection any more, and h2 closes it.
        let ask = async { future::or(watch, ask).await };
        future::zip(drive, ask).await;
        ended.into_inner()
    }

    async fn ask_all(&self, plan: &ClientPlan, http2: &Plan, requests: SendRequest<Bytes>) {
        let mut earlier = Duration::ZERO;
        let mut before: Option<Receiver<()>> = None;
        let mut streams: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
        for (number, request) in plan.requests.iter().enumerate() {
            let (done, is_done) = async_channel::bounded(1);
            earlier += request.parts[0].0;
            let start = match before.replace(is_done).filter(|_| plan.waits) {
                Some(before) => Start::Behind(before, request.parts[0].0),
                None => Start::After(earlier),
            };
            let requests = requests.clone();
            streams.push(Box::pin(self.ask(http2, number, request, requests, start, done)));
        }
        poll_fn(|cx| {
            streams.retain_mut(|stream| stream.as_mut().poll(cx).is_pending());
            if streams.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }

    /// The life of one stream.
    async fn ask(
        &self,
        http2: &Plan,
        number: usize,
        plan: &RequestPlan,
        mut requests: SendRequest<Bytes>,
        start: Start,
        _done: Sender<()>,
    ) {
        match start {
            Start::After(time) => self.world.sleep(time).await,
            Start::Behind(before, rest) => {
                let Err(_done) = before.recv().await else { return };
                self.world.sleep(rest).await;
            }
        }
        let id = id(self.number, number);
        let ready = poll_fn(|cx| requests.poll_ready(cx)).await;
        let ends = matches!(plan.body, BodyPlan::None);
        let begun = ready.and_then(|()| requests.send_request(request(http2, &id, plan), ends));
        drop(requests);
        let (answer, upload) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                self.world.tell(format_args!("client {}: does not ask {id}: {error}", self.number));
                return;
            }
        };
        let stream = answer.stream_id().as_u32();
        self.world.tell(format_args!("client {}: asks {id} on stream {stream}", self.number));
        self.note_sent(number, ends);
        self.world.seen[self.number].borrow_mut().http2.streams[number].id = Some(stream);
        let sending = async {
            if !ends {
                // If the server wants no more of it, the answer tells.
                let _ = self.send_body(http2, number, plan, upload).await;
            }
            pending().await
        };
        let answered = future::or(self.receive(http2, number, answer), sending);
        let reset = async {
            match http2.resets[number] {
                Some(after) => self.world.sleep(after).await,
                None => pending().await,
            }
            self.world.tell(format_args!("client {}: resets {id}", self.number));
            self.world.seen[self.number].borrow_mut().http2.streams[number].was_reset = true;
            Ok(())
        };
        if let Err(error) = future::or(answered, reset).await {
            self.world.tell(format_args!("client {}: {id} fails: {error}", self.number));
        }
    }

    fn note_sent(&self, number: usize, is_last: bool) {
        let stamp = self.world.stamp();
        let asked = &mut self.world.seen[self.number].borrow_mut().requests[number];
        asked.note_sent(stamp);
        asked.head.get_or_insert(stamp);
        if is_last {
            asked.last = Some(stamp);
        }
    }

    /// Sends the body in the parts of the plan, of which the last may never come.
    async fn send_body(
        &self,
        http2: &Plan,
        number: usize,
        plan: &RequestPlan,
        mut upload: SendStream<Bytes>,
    ) -> Result<(), h2::Error> {
        let bytes = body(http2, &id(self.number, number), &plan.body);
        let ends = plan.parts[1..].iter().map(|(_, end)| (end * bytes.len() as f64) as usize);
        let mut sent = 0;
        for ((rest, _), end) in plan.parts[1..].iter().zip(ends) {
            self.world.sleep(*rest).await;
            while sent < end {
                sent += send_some(&mut upload, &bytes[sent..end]).await?;
                self.note_sent(number, false);
            }
        }
        if plan.stops {
            return pending().await;
        }
        while sent < bytes.len() {
            sent += send_some(&mut upload, &bytes[sent..]).await?;
            self.note_sent(number, false);
        }
        upload.send_data(Bytes::new(), true)?;
        self.note_sent(number, true);
        Ok(())
    }

    async fn receive(
        &self,
        http2: &Plan,
        number: usize,
        answer: ResponseFuture,
    ) -> Result<(), h2::Error> {
        let (head, mut content) = answer.await?.into_parts();
        let header = |name: &str| {
            head.headers
                .get(name)
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let answer = RefCell::new(Answer { status: head.status.as_u16(), ..Answer::default() });
        answer.borrow_mut().headers.extend(header("x-id").map(|id| ("x-id".to_owned(), id)));
        let mut grpc_status = header("grpc-status");
        while let Some(data) = poll_fn(|cx| content.poll_data(cx)).await {
            let data = data?;
            answer.borrow_mut().body.extend_from_slice(&data);
            if let Some(time) = http2.keeps {
                if !time.is_zero() {
                    self.world.sleep(time).await;
                }
                content.flow_control().release_capacity(data.len())?;
            }
        }
        let trailers = poll_fn(|cx| content.poll_trailers(cx)).await?;
        let trailer =
            trailers.and_then(|it| it.get("grpc-status")?.to_str().ok().map(str::to_owned));
        grpc_status = grpc_status.or(trailer);
        let mut answer = answer.into_inner();
        answer.complete = true;
        let (client, status, id) = (self.number, answer.status, id(self.number, number));
        let stamp = self.world.tell(format_args!("client {client}: {id} is answered {status}"));
        let seen = &mut *self.world.seen[self.number].borrow_mut();
        seen.http2.streams[number].answered =
            Some(Answered { answer: seen.answers.len(), grpc_status });
        seen.answers.push((answer, stamp));
        Ok(())
    }
}

/// When a stream begins.
enum Start {
    After(Duration),
    /// So long after the one before is over.
    Behind(Receiver<()>, Duration),
}

fn kind(error: &h2::Error) -> io::ErrorKind {
    error.get_io().map_or(io::ErrorKind::Other, io::Error::kind)
}

fn request(http2: &Plan, id: &str, plan: &RequestPlan) -> Request<()> {
    let method = if matches!(plan.body, BodyPlan::None) { Method::GET } else { Method::POST };
    let method = if http2.is_grpc { Method::POST } else { method };
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://sim{}", path(http2.is_grpc, id)))
        .header("x-padding", ".".repeat(plan.padding));
    if http2.is_grpc {
        request = request.header("content-type", "application/grpc").header("te", "trailers");
    } else if let BodyPlan::Length(length) = plan.body {
        request = request.header("content-length", length);
    }
    request.body(()).expect("it is well-formed")
}

/// The bytes of a request's body.
pub fn body(http2: &Plan, id: &str, plan: &BodyPlan) -> Vec<u8> {
    match plan {
        BodyPlan::None => Vec::new(),
        BodyPlan::Length(len) | BodyPlan::Chunked(len, _) if http2.is_grpc => {
            message(&content(id, *len))
        }
        BodyPlan::Length(len) | BodyPlan::Chunked(len, _) => content(id, *len),
    }
}

/// Sends as much as the server takes.
async fn send_some(upload: &mut SendStream<Bytes>, bytes: &[u8]) -> Result<usize, h2::Error> {
    upload.reserve_capacity(bytes.len());
    let room = poll_fn(|cx| upload.poll_capacity(cx)).await;
    let room = room.unwrap_or(Err(h2::Reason::STREAM_CLOSED.into()))?.min(bytes.len());
    upload.send_data(Bytes::copy_from_slice(&bytes[..room]), false)?;
    Ok(room)
}
