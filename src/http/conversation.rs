//! The life of one connection: request after request, until client, handler, limits or drain end it.
//!
//! [`serve`] goes to and fro between a resting connection and a busy one; all that a request needs
//! lives in a box for as long as the connection is busy.

use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use futures_lite::future;
use http_types::{Response, StatusCode};
use log::{debug, error};

use super::answer::{self, Fit, RequestForm};
use super::ends::set_ends;
use super::engine::decode;
use super::guard::{Head, Refusal, Unframer, refuse};
use super::handling::handle;
use super::resting::Resting;
use super::sending::send;
use super::shared::Http;
use super::upgrade::hand_over;
use super::upload::Upload;
use super::wire::{Filled, Wire};
use crate::net::Stream;
use crate::register::State;
use crate::server::{Connection, linger};
use crate::web::{self, End, is_logged};
use crate::words::LOG;

/// What becomes of a connection after an exchange.
enum Next {
    Request,
    Close,
    Upgrade(http_types::upgrade::Sender),
}

/// Serves one connection to its end.
pub(super) fn serve<S: Stream>(
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
            resting = match Box::pin(serve_until_idle(Wire::new(resting, bytes))).await? {
                Some(resting) => resting,
                None => return Ok(()),
            };
        }
    }
}

/// Answers requests until there is none. `None`: it was the last one on this connection.
async fn serve_until_idle<S: Stream>(mut wire: Wire<S>) -> io::Result<Option<Resting<S>>> {
    match serve_requests(&mut wire).await? {
        Next::Request => return Ok(Some(wire.rest())),
        Next::Close => {
            let (stream, connection, _unused) = wire.into_parts();
            linger(stream, &connection).await?
        }
        Next::Upgrade(sender) => hand_over(wire, sender).await?,
    }
    Ok(None)
}

/// Answers requests until none has arrived, even in part.
async fn serve_requests<S: Stream>(wire: &mut Wire<S>) -> io::Result<Next> {
    loop {
        let next = match receive(wire).await? {
            // In a box of its own: a connection whose head comes slowly must not hold room for it.
            Some(Ok(head)) => Box::pin(exchange(wire, head)).await?,
            Some(Err(refusal)) => reject(wire, RequestForm::UNKNOWN, "-", refusal).await?,
            None => Next::Request,
        };
        let goes_on = wire.has_input() && matches!(next, Next::Request);
        if !goes_on || wire.outbox().is_full() {
            wire.flush().await?;
        }
        if !goes_on {
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
        if !wire.has_input() {
            return Ok(None);
        }
        match wire.parse_head() {
            Ok(Some(head)) => return Ok(Some(Ok(head))),
            Err(refusal) => return Ok(Some(Err(refusal))),
            Ok(None) => {}
        }
        wire.flush().await?;
        if !waited {
            waited = true;
            wire.begin_head();
        }
        match poll_fn(|cx| wire.poll_fill_head(cx)).await? {
            Filled::Bytes => {}
            Filled::End => return Err(io::ErrorKind::UnexpectedEof.into()),
            Filled::TooLate => {
                let late = refuse(StatusCode::RequestTimeout, "the request head took too long");
                return Ok(Some(Err(late)));
            }
        }
    }
}

/// Answers a request that the guard does not let in.
async fn reject<S: Stream>(
    wire: &mut Wire<S>,
    form: RequestForm,
    request: &str,
    refusal: Refusal,
) -> io::Result<Next> {
    let peer = wire.connection().peer();
    let (status, reason) = (refusal.status as u16, refusal.reason);
    debug!(target: LOG, peer:%, status; "{peer}: {status}: {reason}");
    let began = access_begins(wire);
    wire.connection().set_state(State::Active, None);
    wire.discard_input();
    let answer = Fit::own(refusal.into(), form);
    let sent = send(wire, &mut None, answer, form.method, false).await?;
    log_access(wire, request, refusal.status, sent, began);
    Ok(Next::Close)
}

/// One request and its answer.
async fn exchange<S: Stream>(wire: &mut Wire<S>, head: Head) -> io::Result<Next> {
    let began = access_begins(wire);
    let head = Arc::new(head);
    wire.begin_request(&head);
    let form = RequestForm::of(&head);
    let (mut request, mut upload) = match decode(&head, &wire.http().limits) {
        Ok(decoded) => decoded,
        Err(refusal) => return reject(wire, form, &head.to_string(), refusal).await,
    };
    let response = match head.asterisk {
        // About the server and not a resource, so not the handler's; it may have a body all the same.
        true => {
            drop(request);
            Response::new(StatusCode::Ok)
        }
        false => {
            set_ends(&mut request, wire.connection());
            let exchange = wire.http().exchanges.exchange(wire.connection(), head.clone());
            wire.client().set_exchange(exchange.clone());
            handle(wire, request, exchange, &mut upload).await?
        }
    };
    let is_cut_off = wire.connection().is_cut_off();
    let fault = match &mut upload {
        Some(upload) if !is_cut_off => upload.settle(wire),
        _ => None,
    };
    let mut answer = match fault {
        Some(refusal) => Fit::own(refusal.into(), form),
        None => check(wire, response, &head),
    };
    answer.end_events_with(wire.connection().shutdown());
    let keep_alive = !is_cut_off
        && fault.is_none()
        && may_be_followed(wire, &head, &answer, &upload)
        && (!wire.connection().leaving() || next_has_arrived(wire, &upload).await);
    let status = answer.response.status();
    let upgrade =
        (status == StatusCode::SwitchingProtocols).then(|| answer.response.send_upgrade());
    let sent = send(wire, &mut upload, answer, form.method, keep_alive).await?;
    log_access(wire, &head, status, sent, began);
    if let Some(sender) = upgrade {
        return Ok(Next::Upgrade(sender));
    }
    let ended = match &mut upload {
        Some(upload) if keep_alive => upload.finish(wire).await?,
        _ => true,
    };
    Ok(if keep_alive && ended { Next::Request } else { Next::Close })
}

/// Checks the response, and puts a 500 in its place if it cannot be sent.
fn check<S: Stream>(wire: &Wire<S>, response: Response, head: &Head) -> Fit {
    let form = RequestForm::of(head);
    Fit::check(response, form, head.upgrade).unwrap_or_else(|problem| {
        let name = wire.connection().context().name();
        let words = "the answer cannot be sent";
        error!(target: LOG, service = name, request:% = head; "{name}: {head}: {words}: {problem}");
        Fit::own(answer::plain(StatusCode::InternalServerError, ""), form)
    })
}

/// Whether another request can come on this connection after this answer.
fn may_be_followed<S: Stream>(
    wire: &Wire<S>,
    head: &Head,
    answer: &Fit,
    upload: &Option<Upload>,
) -> bool {
    let ends_here = answer.fields.closes() || answer.fields.end() == End::Close;
    let body_ends = upload.as_ref().is_none_or(Upload::can_be_finished);
    head.keep_alive && !ends_here && wire.may_go_on() && body_ends
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
    match wire.parse_head() {
        Ok(Some(head)) => {
            Unframer::new(head.framing, wire.http().limits.body_size).is_ok_and(|mut body| {
                body.feed(&wire.input()[head.len..], &mut Vec::new()).is_ok() && body.is_done()
            })
        }
        _ => false,
    }
}

/// When an exchange began; `None` if nobody wants its line in the access log.
fn access_begins<S: Stream>(wire: &Wire<S>) -> Option<Instant> {
    is_logged().then(|| wire.connection().clock().now())
}

fn log_access<S: Stream>(
    wire: &Wire<S>,
    request: impl Display,
    status: StatusCode,
    sent: usize,
    began: Option<Instant>,
) {
    let Some(began) = began else { return };
    let took = wire.connection().clock().now().saturating_duration_since(began);
    web::log_access(wire.connection(), request, status as u16, sent as u64, took);
}
