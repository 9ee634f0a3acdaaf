//! The life of one connection: request after request, until somebody has had enough.
//!
//! [`hold`] waits for the first byte of a request with nothing but the stream in its hands;
//! everything that a request needs lives in a box for as long as the request does.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use async_h1::server::{Encoder, decode};
use futures_lite::{AsyncRead, AsyncWrite, FutureExt, future};
use http_types::headers::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http_types::{Body, Request, Response, StatusCode};
use log::{debug, error, log_enabled};

use super::answer::{self, Asker, Sending};
use super::body::{self, Unframer};
use super::head::{self, Framing, Head, Refusal, refuse};
use super::upgrade::Upgraded;
use super::wire::{WRITE, Waiting, Wire};
use super::{Exchange, Http};
use crate::connection::{Connection, State};
use crate::net::Stream;
use crate::report::panic_message;

/// The log target of the access log; at level debug, so that nobody has it by accident.
const ACCESS: &str = "adieu::access";

/// How much of a body that nobody wants is read for the sake of the next request, in bytes.
const SPARE: u64 = 64 * 1024;

/// How large a next request may be to be looked for in the drain: what a socket holds by default.
const ARRIVED: usize = 128 * 1024;

/// What becomes of a connection after an exchange.
enum Next {
    Request,
    Close,
    Upgrade(http_types::upgrade::Sender),
}

/// Serves one connection to its end.
pub(super) async fn hold<S: Stream>(
    http: Rc<Http>,
    stream: S,
    connection: Connection,
) -> io::Result<()> {
    let mut wire = Wire::new(stream, connection, http);
    while wire.first_byte().await? {
        match Box::pin(converse(&mut wire)).await? {
            Next::Request => wire.rest(),
            Next::Close => return Box::pin(wire.linger()).await,
            Next::Upgrade(sender) => return Box::pin(hand_over(wire, sender)).await,
        }
    }
    Ok(())
}

/// Answers requests until none has arrived, even in part.
async fn converse<S: Stream>(wire: &mut Wire<S>) -> io::Result<Next> {
    loop {
        let next = match receive(wire).await? {
            Some(Ok(head)) => exchange(wire, head).await?,
            Some(Err(refusal)) => turn_away(wire, refusal).await?,
            None => Next::Request,
        };
        if wire.inbox.is_empty() || wire.outbox.len() > WRITE || !matches!(next, Next::Request) {
            wire.flush().await?;
        }
        if wire.inbox.is_empty() || !matches!(next, Next::Request) {
            return Ok(next);
        }
    }
}

/// Receives a request head. `None` if all that has come are empty lines, which a server skips
/// (RFC 9112, 2.2).
async fn receive<S: Stream>(wire: &mut Wire<S>) -> io::Result<Option<Result<Head, Refusal>>> {
    let mut waited = false;
    loop {
        while wire.inbox.starts_with(b"\r\n") {
            wire.inbox.drain(..2);
        }
        if wire.inbox.is_empty() {
            return Ok(None);
        }
        match head::parse(&wire.inbox, &wire.http.limits) {
            Ok(Some(head)) => return Ok(Some(Ok(head))),
            Err(refusal) => return Ok(Some(Err(refusal))),
            Ok(None) => {}
        }
        wire.flush().await?;
        if !waited {
            waited = true;
            wire.begin_head();
        }
        match poll_fn(|cx| wire.poll_fill_within(Waiting::Head, cx)).await {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let late = refuse(StatusCode::RequestTimeout, "the request head took too long");
                return Ok(Some(Err(late)));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Answers a request that the guard does not let in.
async fn turn_away<S: Stream>(wire: &mut Wire<S>, refusal: Refusal) -> io::Result<Next> {
    debug!("{}: {}: {}", wire.connection.peer(), refusal.status as u16, refusal.reason);
    wire.connection.set_state(State::Active, None);
    wire.inbox.clear();
    let asker = Asker { method: http_types::Method::Get, http_1_0: false };
    let mut answering = Answering { asker, keep_alive: false, upload: None };
    answering.send(wire, refusal.into()).await?;
    Ok(Next::Close)
}

/// One request and its answer.
async fn exchange<S: Stream>(wire: &mut Wire<S>, head: Head) -> io::Result<Next> {
    let began =
        log_enabled!(target: ACCESS, log::Level::Debug).then(|| wire.connection.clock().now());
    wire.begin_request(&head);
    if matches!(head.framing, Framing::Length(length) if length > wire.http.limits.body_size) {
        return turn_away(wire, refuse(StatusCode::PayloadTooLarge, "request body too large"))
            .await;
    }
    let mut upload = None;
    let asker = Asker { method: head.method, http_1_0: head.http_1_0 };
    let response = if head.asterisk {
        Response::new(StatusCode::Ok)
    } else {
        match admit(&head, wire, &mut upload).await {
            Ok(request) => respond(wire, request, &mut upload).await?,
            Err(refusal) => return turn_away(wire, refusal).await,
        }
    };
    let fault = upload.as_mut().and_then(|upload| upload.settle(wire));
    let mut response = match (fault, answer::check(&response, head.upgrade)) {
        (Some(refusal), _) => refusal.into(),
        (None, Ok(())) => response,
        (None, Err(problem)) => {
            error!("{}: {}: {problem}", wire.connection.context().name(), head.request());
            answer::plain(StatusCode::InternalServerError, "")
        }
    };
    let until_close = head.http_1_0 && response.len().is_none();
    let keep_alive = head.keep_alive
        && fault.is_none()
        && !until_close
        && !answer::says_close(&response)
        && wire.may_go_on()
        && upload.as_ref().is_none_or(Upload::can_be_finished)
        && (!wire.connection.draining() || next_has_arrived(wire, &upload).await);
    let upgrade =
        (response.status() == StatusCode::SwitchingProtocols).then(|| response.send_upgrade());
    let status = response.status();
    let mut answering = Answering { asker, keep_alive, upload };
    let sent = answering.send(wire, response).await?;
    if let Some(began) = began {
        log_access(wire, &head, status, sent, began);
    }
    match (upgrade, keep_alive) {
        (Some(sender), _) => Ok(Next::Upgrade(sender)),
        (None, true) if answering.finish_upload(wire).await? => Ok(Next::Request),
        _ => Ok(Next::Close),
    }
}

/// Has the engine decode the head, and attaches the body.
async fn admit<S: Stream>(
    head: &Head,
    wire: &Wire<S>,
    upload: &mut Option<Upload>,
) -> Result<Request, Refusal> {
    let bytes = OneHead { bytes: Arc::new(head.canonical.clone()), at: 0 };
    let mut request = match decode(bytes).await {
        Ok(Some((request, _))) => request,
        // The engine makes a URL of host and target, and not everything that the guard lets
        // through is one.
        _ => return Err(refuse(StatusCode::BadRequest, "malformed request target")),
    };
    if head.http_1_0 {
        request.set_version(Some(http_types::Version::Http1_0));
    }
    if head.framing != Framing::None {
        let (intake, body) = body::pipe();
        let length = match head.framing {
            Framing::Length(length) => {
                request.insert_header(CONTENT_LENGTH, length.to_string());
                usize::try_from(length).ok()
            }
            _ => {
                request.insert_header(TRANSFER_ENCODING, "chunked");
                None
            }
        };
        request.set_body(Body::from_reader(body, length));
        *upload = Some(Upload {
            intake,
            unframer: Unframer::new(head.framing, wire.http.limits.body_size),
            continue_first: head.expects_continue,
            fault: None,
        });
    }
    Ok(request)
}

/// Has the handler answer, and feeds it the body meanwhile.
async fn respond<S: Stream>(
    wire: &mut Wire<S>,
    request: Request,
    upload: &mut Option<Upload>,
) -> io::Result<Response> {
    let exchange =
        Exchange { peer: wire.connection.peer().clone(), cx: wire.connection.context().clone() };
    let http = wire.http.clone();
    // Inside the guard even when it is called: a handler need not be an async fn.
    let handling = async { (http.handle)(request, exchange).await };
    let mut handling = pin!(AssertUnwindSafe(handling).catch_unwind());
    let handled = loop {
        let handled = poll_fn(|cx| {
            loop {
                if let Poll::Ready(handled) = handling.as_mut().poll(cx) {
                    return Poll::Ready(Some(handled));
                }
                // Earlier answers do not wait for this one.
                if !wire.outbox.is_empty() {
                    return Poll::Ready(None);
                }
                ready!(poll_upload(upload, wire, cx));
            }
        });
        match handled.await {
            Some(handled) => break handled,
            None => wire.flush().await?,
        }
    };
    let name = wire.connection.context().name();
    Ok(match handled {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            let status = match error.status() {
                status if status.is_client_error() || status.is_server_error() => status,
                _ => StatusCode::InternalServerError,
            };
            match status.is_server_error() {
                true => error!("{name}: the handler failed: {error}"),
                false => debug!("{name}: the handler refused: {error}"),
            }
            answer::plain(status, "")
        }
        Err(panic) => {
            wire.connection.count_panic();
            error!("{name}: the handler panicked: {}", panic_message(&*panic));
            answer::plain(StatusCode::InternalServerError, "")
        }
    })
}

/// Whether the next request is here already, all of it. Asked while draining: if so, it is still
/// answered on this connection, and this answer must not say `close`.
async fn next_has_arrived<S: Stream>(wire: &mut Wire<S>, upload: &Option<Upload>) -> bool {
    if !upload.as_ref().is_none_or(|upload| upload.unframer.is_done()) {
        return false;
    }
    loop {
        match head::parse(&wire.inbox, &wire.http.limits) {
            Ok(Some(head)) => {
                let mut unframer = Unframer::new(head.framing, u64::MAX);
                let fed = unframer.feed(&wire.inbox[head.len..], &mut Vec::new());
                if fed.is_err() || unframer.is_done() {
                    return fed.is_ok();
                }
            }
            Ok(None) => {}
            Err(_) => return false,
        }
        if wire.inbox.len() > ARRIVED {
            return false;
        }
        let read = poll_fn(|cx| Poll::Ready(wire.poll_fill(cx))).await;
        if !matches!(read, Poll::Ready(Ok(1..))) {
            return false;
        }
    }
}

fn log_access<S: Stream>(
    wire: &Wire<S>,
    head: &Head,
    status: StatusCode,
    sent: usize,
    began: Instant,
) {
    let took = wire.connection.clock().now().saturating_duration_since(began);
    let name = wire.connection.context().name();
    let peer = wire.connection.peer();
    let request = head.request();
    debug!(target: ACCESS, "{name} {peer} \"{request}\" {} {sent} B {took:.1?}", status as u16);
}

/// A request body on its way in.
struct Upload {
    intake: body::Intake,
    unframer: Unframer,
    continue_first: bool,
    fault: Option<Refusal>,
}

impl Upload {
    /// Takes what belongs to the body out of the inbox.
    fn take(&mut self, inbox: &mut Vec<u8>) -> Result<Vec<u8>, Refusal> {
        let mut content = Vec::new();
        let taken = self.unframer.feed(inbox, &mut content)?;
        inbox.drain(..taken);
        Ok(content)
    }

    /// Before the answer: if nobody can read the body any more, what has arrived of it is skipped.
    /// Tells what was wrong with the body, if anything was.
    fn settle<S>(&mut self, wire: &mut Wire<S>) -> Option<Refusal> {
        if self.fault.is_none() && self.intake.is_abandoned() {
            self.fault = self.take(&mut wire.inbox).err();
        }
        self.fault
    }

    /// Whether the connection can be used again after this body.
    fn can_be_finished(&self) -> bool {
        self.unframer.is_done() || !self.continue_first && self.unframer.at_least() <= SPARE
    }
}

/// Moves the body on while somebody waits for it. Ready when it has moved.
fn poll_upload<S: Stream>(
    upload: &mut Option<Upload>,
    wire: &mut Wire<S>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let Some(upload) = upload else {
        return Poll::Pending;
    };
    if !upload.intake.is_wanted(cx) {
        return Poll::Pending;
    }
    let moved = loop {
        match upload.take(&mut wire.inbox) {
            Ok(content) if !content.is_empty() || upload.unframer.is_done() => break Ok(content),
            Ok(_) => {}
            Err(refusal) => break Err((refusal, io::ErrorKind::InvalidData)),
        }
        // RFC 9110, 10.1.1: no 100 if part of the content has arrived already.
        if std::mem::take(&mut upload.continue_first) && upload.unframer.is_untouched() {
            wire.outbox.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            return Poll::Ready(());
        }
        match ready!(wire.poll_fill_within(Waiting::Body, cx)) {
            Ok(amount) if amount > 0 => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let late = refuse(StatusCode::RequestTimeout, "the request body took too long");
                break Err((late, io::ErrorKind::TimedOut));
            }
            _ => {
                let cut = refuse(StatusCode::BadRequest, "the request body did not arrive whole");
                break Err((cut, io::ErrorKind::UnexpectedEof));
            }
        }
    };
    match moved {
        Ok(content) => upload.intake.push(content, upload.unframer.is_done(), cx),
        Err((refusal, kind)) => {
            upload.fault = Some(refusal);
            upload.intake.fail(kind, cx);
        }
    }
    Poll::Ready(())
}

/// An answer on its way out.
struct Answering {
    asker: Asker,
    keep_alive: bool,
    upload: Option<Upload>,
}

impl Answering {
    /// Encodes the response into the outbox, flushing as it grows. Returns the size of the body.
    async fn send<S: Stream>(
        &mut self,
        wire: &mut Wire<S>,
        mut response: Response,
    ) -> io::Result<usize> {
        let strips = answer::strips_framing(&response, self.asker);
        let sending = answer::prepare(&mut response, self.asker, self.keep_alive, &wire.http.date);
        let start = wire.outbox.len();
        let mut encoder = Encoder::new(response, self.asker.method);
        while !wire.outbox[start..].ends_with(b"\r\n\r\n") {
            poll_fn(|cx| wire.poll_encode(&mut encoder, cx)).await?;
        }
        if strips || matches!(sending, Sending::UntilClose(_)) {
            answer::strip_framing(&mut wire.outbox, start);
        }
        let sent = match sending {
            Sending::Nothing => 0,
            Sending::Exactly(len) => {
                let sent = self.send_body(wire, &mut encoder).await?;
                if sent < len {
                    let name = wire.connection.context().name();
                    error!("{name}: an answer of {len} bytes ended after {sent}");
                    wire.flush().await?;
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                sent
            }
            Sending::Chunks => self.send_body(wire, &mut encoder).await?,
            Sending::UntilClose(mut body) => self.send_body(wire, &mut body).await?,
        };
        wire.complete_answer();
        Ok(sent)
    }

    async fn send_body<S: Stream>(
        &mut self,
        wire: &mut Wire<S>,
        body: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<usize> {
        let mut sent = 0;
        loop {
            let ended = poll_fn(|cx| {
                loop {
                    match wire.poll_encode(body, cx)? {
                        Poll::Ready(0) => return Poll::Ready(Ok(true)),
                        Poll::Ready(amount) => sent += amount,
                        Poll::Pending if wire.outbox.is_empty() => {
                            ready!(poll_upload(&mut self.upload, wire, cx));
                            continue;
                        }
                        // What there is goes out, rather than wait for more.
                        Poll::Pending => return Poll::Ready(Ok(false)),
                    }
                    if wire.outbox.len() >= WRITE {
                        return Poll::Ready(Ok::<_, io::Error>(false));
                    }
                }
            });
            let ended = match ended.await {
                Ok(ended) => ended,
                Err(error) => {
                    let name = wire.connection.context().name();
                    error!("{name}: an answer's body failed: {error}");
                    wire.flush().await?;
                    return Err(error);
                }
            };
            if ended {
                return Ok(sent);
            }
            wire.flush().await?;
            future::yield_now().await;
        }
    }

    /// Reads what is left of the request's body, if it is little. False: the connection must close.
    async fn finish_upload<S: Stream>(&mut self, wire: &mut Wire<S>) -> io::Result<bool> {
        let Some(upload) = &mut self.upload else {
            return Ok(true);
        };
        let mut spare = SPARE;
        loop {
            let Ok(skipped) = upload.take(&mut wire.inbox) else {
                return Ok(false);
            };
            spare = spare.saturating_sub(skipped.len() as u64);
            if upload.unframer.is_done() {
                return Ok(true);
            }
            if spare == 0 || upload.fault.is_some() || wire.connection.draining() {
                return Ok(false);
            }
            wire.flush().await?;
            match poll_fn(|cx| wire.poll_fill_within(Waiting::Body, cx)).await {
                Ok(amount) if amount > 0 => {}
                _ => return Ok(false),
            }
        }
    }
}

/// Hands the stream to whoever waits at the other end of the response's upgrade, and waits
/// until it is dropped there.
async fn hand_over<S: Stream>(
    wire: Wire<S>,
    sender: http_types::upgrade::Sender,
) -> io::Result<()> {
    let (open, closed) = async_channel::bounded::<Infallible>(1);
    let Wire { stream, connection, inbox, .. } = wire;
    connection.set_state(State::Upgraded, None);
    let upgraded = Upgraded { stream, early: inbox, _open: open };
    sender.send(http_types::upgrade::Connection::new(upgraded)).await;
    let Err(_dropped) = closed.recv().await;
    Ok(())
}

/// The in-memory stream that the engine decodes: one head, and nothing behind it.
#[derive(Clone)]
struct OneHead {
    bytes: Arc<Vec<u8>>,
    at: usize,
}

impl AsyncRead for OneHead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let rest = &self.bytes[self.at..];
        let amount = rest.len().min(buf.len());
        buf[..amount].copy_from_slice(&rest[..amount]);
        self.at += amount;
        Poll::Ready(Ok(amount))
    }
}

/// The engine asks for it, to write `100 Continue`; no head that it sees expects one.
impl AsyncWrite for OneHead {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
