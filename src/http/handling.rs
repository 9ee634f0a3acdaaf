//! From a request to a response: the handler answers, and what it fails at is answered for it.

use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::Poll;

use futures_lite::{Future, FutureExt};
use http_types::{Request, Response, StatusCode};
use log::{debug, error};

use super::answer;
use super::last_word::last_word;
use super::upload::{Upload, drive};
use super::wire::Wire;
use crate::net::Stream;
use crate::web::Exchange;
use crate::words::{LOG, panic_message};

/// Has the handler answer, and feeds it the body meanwhile. In the last turn of a connection that is
/// [cut off](crate::Connection::is_cut_off) the handler is dropped, and the last word is the answer.
pub(super) async fn handle<S: Stream>(
    wire: &mut Wire<S>,
    request: Request,
    exchange: Exchange,
    upload: &mut Option<Upload>,
) -> io::Result<Response> {
    let http = wire.http().clone();
    // Inside the guard even when it is called: a handler need not be an async fn.
    let handling = async { http.handle(request, exchange).await };
    let mut handling = pin!(AssertUnwindSafe(handling).catch_unwind());
    // Kept here, and not handed from one future to the next: it is large.
    let mut handled = None;
    drive(wire, upload, |wire, cx| match wire.connection().is_cut_off() {
        true => Poll::Ready(()),
        false => handling.as_mut().poll(cx).map(|done| handled = Some(done)),
    })
    .await?;
    let Some(handled) = handled else { return Ok(last_word()) };
    let name = wire.connection().context().name();
    Ok(match handled {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            let status = match error.status() {
                status if status.is_client_error() || status.is_server_error() => status,
                _ => StatusCode::InternalServerError,
            };
            // A body that the client got wrong is answered as such, and is nobody's error here.
            let body_failed = upload.as_ref().is_some_and(Upload::has_failed);
            match status.is_server_error() && !body_failed {
                true => {
                    error!(target: LOG, service = name, error:%; "{name}: the handler failed: {error}")
                }
                false => {
                    debug!(target: LOG, service = name, error:%; "{name}: the handler refused: {error}")
                }
            }
            answer::plain(status, "")
        }
        Err(panic) => {
            wire.connection().count_panic();
            let message = panic_message(&*panic);
            error!(target: LOG, service = name, panic = message; "{name}: the handler panicked: {message}");
            answer::plain(StatusCode::InternalServerError, "")
        }
    })
}
