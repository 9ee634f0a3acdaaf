//! The handler of `Http`: it does what the plan says.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{self, Poll, ready};

use adieu::http::Exchange;
use adieu::http::http_types::upgrade::Connection as Upgraded;
use adieu::http::http_types::{Body, Error, Request, Response, Result, StatusCode};
use async_channel::Receiver;
use futures_lite::{AsyncBufRead, AsyncRead, AsyncReadExt, AsyncWriteExt, Stream};

use crate::client_plan::Then;
use crate::content::content;
use crate::job::Job;
use crate::world::World;

pub async fn handle(
    world: Rc<World>,
    mut request: Request,
    exchange: Exchange,
) -> Result<Response> {
    let Some(job) = Job::begin(&world, request.url().path()) else {
        return Err(Error::from_str(404, "no such request"));
    };
    let handling = &job.plan().handling;
    if handling.reads_body {
        // It fails if the client goes or stops half-way; then there is nothing to compare.
        if let Ok(body) = request.body_bytes().await {
            job.check_body(&body);
        }
    }
    exchange.sleep(handling.takes).await;
    let id = job.id();
    let mut response = Response::new(200);
    response.insert_header("x-id", &id);
    match &handling.then {
        Then::Answer(len) => response.set_body(content(&id, *len)),
        Then::SayClose(len) => {
            response.insert_header("connection", "close");
            response.set_body(content(&id, *len));
        }
        Then::Stream(parts) => {
            let cx = exchange.clone();
            let (work, parts) = job.in_parts(parts, async move |time| cx.sleep(time).await);
            exchange.spawn(work);
            let parts = Parts { parts: Box::pin(parts), part: Vec::new(), at: 0 };
            response.set_body(Body::from_reader(parts, None));
        }
        Then::Fail(_) | Then::Panic => {}
        Then::Never => pending().await,
        Then::Upgrade { polite } => {
            response.set_status(StatusCode::SwitchingProtocols);
            response.insert_header("upgrade", "echo");
            let upgraded = response.recv_upgrade().await;
            let (cx, polite, held) = (exchange.clone(), *polite, job.held());
            exchange.spawn(async move {
                let _held = held;
                let Some(connection) = upgraded.await else { return };
                let echo = echo(connection);
                // The client may go at any time.
                let _ = if polite { cx.shutdown().race(echo).await } else { Some(echo.await) };
            });
        }
    }
    job.end(exchange.draining());
    match &handling.then {
        Then::Fail(status) => Err(Error::from_str(*status, "simulated")),
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
