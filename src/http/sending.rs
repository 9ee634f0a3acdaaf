//! An answer on its way out, through the engine's encoder and the wire.

use std::io;
use std::task::Poll;

use futures_lite::{AsyncRead, future};
use http_types::Method;
use log::error;

use super::answer::Fit;
use super::encoded_head;
use super::engine::encode_head;
use super::upload::{Upload, drive};
use super::wire::Wire;
use crate::net::Stream;
use crate::web::End;
use crate::words::LOG;

/// Sends a response, flushing as it grows, and feeds the request's body to it meanwhile. Returns the size of
/// its body. `method`: of the request.
pub(super) async fn send<S: Stream>(
    wire: &mut Wire<S>,
    upload: &mut Option<Upload>,
    mut answer: Fit,
    method: Method,
    keep_alive: bool,
) -> io::Result<usize> {
    wire.begin_answer();
    let raw = answer.prepare(keep_alive, &wire.http().date);
    let Fit { response, fields } = answer;
    let (status, length) = (response.status(), response.len());
    let start = wire.outbox().bytes().len();
    // Only its end tells the client that such an answer is whole.
    let ends_by_close = fields.end() == End::Close;
    if ends_by_close {
        wire.reset_if_cut(true);
    }
    let mut encoder = encode_head(wire, response, method).await?;
    encoded_head::correct(wire.outbox().bytes_mut(), start, status, length, &fields);
    let sent = match raw {
        _ if fields.end() == End::Head => 0,
        Some(mut body) => send_body(wire, upload, &mut body).await?,
        None => send_body(wire, upload, &mut encoder).await?,
    };
    if let End::Length(length) = fields.end()
        && (sent as u64) < length
    {
        let name = wire.connection().context().name();
        error!(target: LOG, service = name; "{name}: an answer of {length} bytes ended after {sent}");
        wire.flush().await?;
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if ends_by_close {
        wire.flush().await?;
        wire.reset_if_cut(false);
    }
    wire.complete_answer(status as u16);
    Ok(sent)
}

async fn send_body<S: Stream>(
    wire: &mut Wire<S>,
    upload: &mut Option<Upload>,
    body: &mut (impl AsyncRead + Unpin),
) -> io::Result<usize> {
    let mut sent = 0;
    loop {
        // Ready at the end of the body, or when there is enough for one write.
        let gathered = drive(wire, upload, |wire, cx| {
            loop {
                match wire.poll_queue(body, cx) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Ok(true)),
                    Poll::Ready(Ok(amount)) => sent += amount,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
                if wire.outbox().is_full() {
                    return Poll::Ready(Ok(false));
                }
            }
        });
        match gathered.await? {
            Ok(true) => return Ok(sent),
            Ok(false) => {
                wire.flush().await?;
                future::yield_now().await;
            }
            Err(error) => {
                let name = wire.connection().context().name();
                error!(target: LOG, service = name, error:%; "{name}: an answer's body failed: {error}");
                wire.flush().await?;
                return Err(error);
            }
        }
    }
}
