//! The life of one connection: request after request, until somebody has had enough.
//!
//! [`hold`] goes to and fro between a resting connection and a busy one; all that a request needs
//! lives in a box for as long as the connection is busy.

use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;
use std::time::Instant;

use futures_lite::future;
use http_types::{Response, StatusCode};
use log::{debug, error, log_enabled};

use super::answer::{self, Asker};
use super::framing::Unframer;
use super::head::{self, Head, Refusal, refuse};
use super::resting::Resting;
use super::sending::Answering;
use super::upgrade::hand_over;
use super::upload::Upload;
use super::wire::{WRITE, Waiting, Wire};
use super::{Http, handling};
use crate::net::Stream;
use crate::register::State;
use crate::server::Connection;
use crate::server::linger;

/// The log target of the access log; at level debug, so that nobody has it by accident.
const ACCESS: &str = "adieu::access";

/// What becomes of a connection after an exchange.
enum Next {
    Request,
    Close,
    Upgrade(http_types::upgrade::Sender),
}

/// Serves one connection to its end.
pub(super) fn hold<S: Stream>(
    http: Rc<Http>,
    stream: S,
    connection: Connection,
) -> impl Future<Output = io::Result<()>> {
    // Not in an async fn, which would make room for its arguments as well.
    let mut resting = Resting::new(stream, connection, http);
    async move {
        loop {
            let bytes = resting.first_bytes().await?;
            if bytes.is_empty() {
                return Ok(());
            }
            resting = match Box::pin(be_busy(Wire::new(resting, bytes))).await? {
                Some(resting) => resting,
                None => return Ok(()),
            };
        }
    }
}

/// Answers requests until there is none. `None`: it was the last one on this connection.
async fn be_busy<S: Stream>(mut wire: Wire<S>) -> io::Result<Option<Resting<S>>> {
    match converse(&mut wire).await? {
        Next::Request => return Ok(Some(wire.rest())),
        Next::Close => linger(wire.stream, wire.connection).await?,
        Next::Upgrade(sender) => hand_over(wire, sender).await?,
    }
    Ok(None)
}

/// Answers requests until none has arrived, even in part.
async fn converse<S: Stream>(wire: &mut Wire<S>) -> io::Result<Next> {
    loop {
        let next = match receive(wire).await? {
            // In a box of its own, so that whoever sends a head slowly has none of it.
            Some(Ok(head)) => Box::pin(exchange(wire, head)).await?,
            Some(Err(refusal)) => turn_away(wire, Asker::UNKNOWN, "-", refusal).await?,
            None => Next::Request,
        };
        if wire.inbox.is_empty() || wire.outbox.len() > WRITE || !matches!(next, Next::Request) {
            wire.flush().await?;
        }
        if wire.inbox.is_empty() || !matches!(next, Next::Request) {
            return Ok(next);
        }
        // A client that always has one more request in the pipeline is not alone.
        future::yield_now().await;
    }
}

/// Receives a request head. `None` if all that has come are empty lines, which a server skips
/// (RFC 9112, 2.2).
async fn receive<S: Stream>(wire: &mut Wire<S>) -> io::Result<Option<Result<Head, Refusal>>> {
    let mut waited = false;
    loop {
        if !wire.skip_empty_lines() {
            return Ok(Some(Err(refuse(StatusCode::BadRequest, "too many empty lines"))));
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
async fn turn_away<S: Stream>(
    wire: &mut Wire<S>,
    asker: Asker,
    request: &str,
    refusal: Refusal,
) -> io::Result<Next> {
    debug!("{}: {}: {}", wire.connection.peer(), refusal.status as u16, refusal.reason);
    let began = access_begins(wire);
    wire.connection.set_state(State::Active, None);
    wire.inbox.clear();
    let mut answering = Answering { asker, keep_alive: false, upload: None };
    let sent = answering.send(wire, refusal.into()).await?;
    log_access(wire, request, refusal.status, sent, began);
    Ok(Next::Close)
}

/// One request and its answer.
async fn exchange<S: Stream>(wire: &mut Wire<S>, head: Head) -> io::Result<Next> {
    let began = access_begins(wire);
    wire.begin_request(&head);
    let asker = Asker { method: head.method, http_1_0: head.http_1_0 };
    let (request, mut upload) = match handling::decode(&head, &wire.http.limits) {
        Ok(decoded) => decoded,
        Err(refusal) => return turn_away(wire, asker, head.request(), refusal).await,
    };
    let response = match head.asterisk {
        // About the server and not a resource, so not the handler's; it may have a body all the same.
        true => {
            drop(request);
            Response::new(StatusCode::Ok)
        }
        false => handling::handle(wire, request, &mut upload).await?,
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
        && (!wire.connection.leaving() || next_has_arrived(wire, &upload).await);
    let upgrade =
        (response.status() == StatusCode::SwitchingProtocols).then(|| response.send_upgrade());
    let status = response.status();
    let mut answering = Answering { asker, keep_alive, upload };
    let sent = answering.send(wire, response).await?;
    log_access(wire, head.request(), status, sent, began);
    if let Some(sender) = upgrade {
        return Ok(Next::Upgrade(sender));
    }
    let ended = match &mut answering.upload {
        Some(upload) if keep_alive => upload.finish(wire).await?,
        _ => true,
    };
    Ok(if keep_alive && ended { Next::Request } else { Next::Close })
}

/// Whether the next request is here already, all of it. Asked while draining: if so, it is still
/// answered on this connection, and this answer must not say `close`.
async fn next_has_arrived<S: Stream>(wire: &mut Wire<S>, upload: &Option<Upload>) -> bool {
    if !upload.as_ref().is_none_or(Upload::is_done) {
        return false;
    }
    wire.last_look().await;
    if !wire.skip_empty_lines() {
        return false;
    }
    match head::parse(&wire.inbox, &wire.http.limits) {
        Ok(Some(head)) => {
            Unframer::new(head.framing, wire.http.limits.body_size).is_ok_and(|mut body| {
                body.feed(&wire.inbox[head.len..], &mut Vec::new()).is_ok() && body.is_done()
            })
        }
        _ => false,
    }
}

/// When an exchange began; `None` if nobody wants its line in the access log.
fn access_begins<S: Stream>(wire: &Wire<S>) -> Option<Instant> {
    log_enabled!(target: ACCESS, log::Level::Debug).then(|| wire.connection.clock().now())
}

fn log_access<S: Stream>(
    wire: &Wire<S>,
    request: &str,
    status: StatusCode,
    sent: usize,
    began: Option<Instant>,
) {
    let Some(began) = began else { return };
    let took = wire.connection.clock().now().saturating_duration_since(began);
    let name = wire.connection.context().name();
    let peer = wire.connection.peer();
    debug!(target: ACCESS, "{name} {peer} \"{request}\" {} {sent} B {took:.1?}", status as u16);
}
