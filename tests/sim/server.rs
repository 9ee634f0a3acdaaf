//! The services: HTTP with a handler that does what the plan says, and services of other kinds.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{self, Poll, ready};
use std::time::Duration;

use adieu::http::http_types::upgrade::Connection as Upgraded;
use adieu::http::http_types::{Body, Error, Request, Response, Result, StatusCode};
use adieu::http::{Exchange, Http};
use adieu::testing::MemoryListener;
use adieu::{BoxError, Clock, Connection, Context, Server, Service, Tcp};
use async_channel::Receiver;
use fastrand::Rng;
use futures_lite::{AsyncBufRead, AsyncRead, AsyncReadExt, AsyncWriteExt, Stream};

use crate::client::id;
use crate::content::content;
use crate::life::accompany;
use crate::net::{UnkindListener, UnkindStream};
use crate::plan::{BodyPlan, ServicePlan, Then};
use crate::restarts;
use crate::talk::talk;
use crate::watch;
use crate::world::{Handled, World};

/// One service of the plan.
pub struct Simulated {
    pub world: Rc<World>,
    pub number: usize,
    pub listener: MemoryListener,
}

impl Service for Simulated {
    async fn serve(self, cx: Context) -> std::result::Result<(), BoxError> {
        let (world, number) = (self.world.clone(), self.number);
        accompany(&world, number, &cx, self.work(cx.clone())).await
    }
}

impl Simulated {
    async fn work(self, cx: Context) -> std::result::Result<(), BoxError> {
        let Simulated { world, number, listener } = self;
        let shutdown = cx.shutdown().clone();
        world.status.borrow_mut().get_or_insert(cx.status().clone());
        let plan = &world.plan.services[number];
        let stage = world.plan.stages[number];
        world.stops[stage].borrow_mut().get_or_insert(shutdown.clone());
        let _alive = world.alive.clone();
        let told = |world: &World| world.served[number].told.set(Some(world.now()));
        match plan {
            ServicePlan::Http { max_connections, limits, handshakes } => {
                let rng = Rng::with_seed(world.plan.seed ^ number as u64);
                let inner = listener;
                let (service, handshakes) = (number, *handshakes);
                let (here, handler) = (world.clone(), world.clone());
                let listener =
                    UnkindListener { inner, world: here, service, shutdown, handshakes, rng };
                let http =
                    Http::new(move |request, exchange| handle(handler.clone(), request, exchange));
                let server = Server::new(listener, http.limits(limits.clone()));
                let served = server.max_connections(*max_connections).serve(cx).await;
                world.served[number].returned.set(true);
                return served;
            }
            ServicePlan::Tcp => {
                let rng = Rng::with_seed(world.plan.seed ^ number as u64);
                let inner = listener;
                let (service, handshakes) = (number, Duration::ZERO);
                let (here, handler) = (world.clone(), world.clone());
                let listener =
                    UnkindListener { inner, world: here, service, shutdown, handshakes, rng };
                let tcp =
                    Tcp::new(async move |stream: &mut UnkindStream, connection: &Connection| {
                        talk(&handler, number, stream, connection).await
                    });
                let served = Server::new(listener, tcp).serve(cx).await;
                world.served[number].returned.set(true);
                return served;
            }
            ServicePlan::Told(takes) => {
                shutdown.begun().await;
                told(&world);
                if let Some(earlier) = stage.checked_sub(1) {
                    let over = watch::until(&world, earlier).is_some_and(|at| world.now() >= at);
                    if !over && !world.aborted.get() && !watch::have_ended(&world, earlier) {
                        world.violation(format_args!("{number}: is told too early"));
                    }
                }
                cx.sleep(*takes).await;
            }
            ServicePlan::Stuck => pending().await,
            ServicePlan::Fails(after) => {
                cx.sleep(*after).await;
                return Err("simulated failure".into());
            }
            ServicePlan::Panics(after) => {
                cx.sleep(*after).await;
                panic!("simulated panic");
            }
            ServicePlan::Returns(after) => cx.sleep(*after).await,
            ServicePlan::Spawns(takes) => {
                for takes in *takes {
                    let (world, shutdown) = (world.clone(), shutdown.clone());
                    // Without the context: that it was spawned must be enough.
                    cx.spawn_named("told", async move {
                        let _alive = world.alive.clone();
                        shutdown.begun().await;
                        let served = &world.served[number];
                        served.told.set(Some(world.now()));
                        world.clock.sleep_until(world.clock.now() + takes).await;
                        served.done.set(served.done.get() + 1);
                    });
                }
            }
            ServicePlan::Restarts(_) => {
                let ended = restarts::serve(world.clone(), number, cx).await;
                world.served[number].returned.set(true);
                return ended;
            }
        }
        Ok(())
    }
}

async fn handle(world: Rc<World>, mut request: Request, exchange: Exchange) -> Result<Response> {
    let _alive = world.alive.clone();
    let path = request.url().path().trim_start_matches('/').to_owned();
    let numbers = path.split_once('/').and_then(|(client, request)| {
        Some((client.parse::<usize>().ok()?, request.parse::<usize>().ok()?))
    });
    let asked = numbers.and_then(|(client, request)| {
        let plan = world.plan.clients.get(client)?;
        Some((client, request, plan.service, plan.requests.get(request)?))
    });
    let Some((client, number, service, plan)) = asked else {
        world.violation(format_args!("a request that nobody sent: {path}"));
        return Err(Error::from_str(404, "no such request"));
    };
    world.tell(format_args!("handler {path}: begins"));
    let id = id(client, number);
    if plan.handling.reads_body {
        // It fails if the client goes or stops half-way; then there is nothing to compare.
        if let Ok(body) = request.body_bytes().await {
            let expected = match plan.body {
                BodyPlan::None => Vec::new(),
                BodyPlan::Length(len) | BodyPlan::Chunked(len, _) => content(&id, len),
            };
            if body != expected {
                world.violation(format_args!("request {id}: the body is not what was sent"));
            }
        }
    }
    exchange.sleep(plan.handling.takes).await;
    let mut response = Response::new(200);
    response.insert_header("x-id", &id);
    match &plan.handling.then {
        Then::Answer(len) => response.set_body(content(&id, *len)),
        Then::SayClose(len) => {
            response.insert_header("connection", "close");
            response.set_body(content(&id, *len));
        }
        Then::Stream(parts) => {
            let busy = world.served[service].busy.clone();
            response.set_body(stream(&world, busy, &exchange, &id, parts));
        }
        Then::Fail(_) | Then::Panic => {}
        Then::Never => pending().await,
        Then::Upgrade { polite } => {
            response.set_status(StatusCode::SwitchingProtocols);
            response.insert_header("upgrade", "echo");
            let upgraded = response.recv_upgrade().await;
            let (cx, polite) = (exchange.clone(), *polite);
            let held = (world.served[service].busy.clone(), world.alive.clone());
            exchange.spawn(async move {
                let _held = held;
                let Some(connection) = upgraded.await else { return };
                let echo = echo(connection);
                // The client may go at any time.
                let _ = if polite { cx.shutdown().race(echo).await } else { Some(echo.await) };
            });
        }
    }
    let at = world.tell(format_args!("handler {id}: ends"));
    let leaving = world.says_close(service);
    let handled = Handled { at, leaving, draining: exchange.draining() };
    world.seen[client].borrow_mut().requests[number].handled = Some(handled);
    match &plan.handling.then {
        Then::Fail(status) => Err(Error::from_str(*status, "simulated")),
        Then::Panic => {
            let panics = &world.served[service].panics;
            panics.set(panics.get() + 1);
            panic!("simulated panic");
        }
        _ => Ok(response),
    }
}

async fn echo(mut connection: Upgraded) -> io::Result<()> {
    let mut buffer = [0; 1000];
    loop {
        match connection.read(&mut buffer).await? {
            0 => return Ok(()),
            amount => connection.write_all(&buffer[..amount]).await?,
        }
    }
}

/// A body that comes in parts, written by a task of the service.
fn stream(
    world: &Rc<World>,
    busy: Rc<()>,
    exchange: &Exchange,
    id: &str,
    parts: &[(Duration, usize)],
) -> Body {
    let whole = content(id, parts.iter().map(|(_, len)| len).sum());
    let (sender, parts_sent) = async_channel::bounded(1);
    let (parts, cx) = (parts.to_vec(), exchange.clone());
    let held = (busy, world.alive.clone());
    exchange.spawn(async move {
        let _held = held;
        let mut at = 0;
        for (rest, len) in parts {
            cx.sleep(rest).await;
            if sender.send(whole[at..at + len].to_vec()).await.is_err() {
                return; // the client has gone
            }
            at += len;
        }
    });
    Body::from_reader(Parts { parts: Box::pin(parts_sent), part: Vec::new(), at: 0 }, None)
}

/// Reads what a channel brings.
struct Parts {
    parts: Pin<Box<Receiver<Vec<u8>>>>,
    part: Vec<u8>,
    at: usize,
}

impl AsyncBufRead for Parts {
    fn poll_fill_buf(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<io::Result<&[u8]>> {
        if self.at == self.part.len() {
            self.part = ready!(self.parts.as_mut().poll_next(cx)).unwrap_or_default();
            self.at = 0;
        }
        let this = self.get_mut();
        Poll::Ready(Ok(&this.part[this.at..]))
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        self.at += amount;
    }
}

impl AsyncRead for Parts {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let part = ready!(self.as_mut().poll_fill_buf(cx))?;
        let amount = part.len().min(buf.len());
        buf[..amount].copy_from_slice(&part[..amount]);
        self.consume(amount);
        Poll::Ready(Ok(amount))
    }
}
