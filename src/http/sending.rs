//! An answer on its way out, through the engine's encoder and the wire.

use std::io;
use std::task::Poll;

use futures_lite::{AsyncRead, future};
use http_types::Response;
use log::error;

use super::answer::{self, Checked, Corrections, RequestForm, Sending};
use super::engine::encode_head;
use super::upload::{Upload, drive};
use super::wire::Wire;
use crate::net::Stream;
use crate::words::LOG;

/// Sends a response, flushing as it grows, and feeds the request's body to it meanwhile. Returns the size of
/// its body.
pub(super) async fn send<S: Stream>(
    wire: &mut Wire<S>,
    upload: &mut Option<Upload>,
    mut response: Response,
    checked: &Checked,
    form: RequestForm,
    keep_alive: bool,
) -> io::Result<usize> {
    let status = response.status() as u16;
    let mut corrections = Corrections::of(&response, form);
    let sending = answer::prepare(&mut response, form, keep_alive, &wire.http().date);
    corrections.announce(&mut response, checked);
    let start = wire.output().len();
    let mut encoder = encode_head(wire, response, form.method).await?;
    wire.edit_output(|out| corrections.make(out, start));
    let sent = match sending {
        Sending::Nothing => 0,
        Sending::Exactly(len) => {
            let sent = send_body(wire, upload, &mut encoder).await?;
            if sent < len {
                let name = wire.connection().context().name();
                error!(target: LOG, "{name}: an answer of {len} bytes ended after {sent}");
                wire.flush().await?;
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            sent
        }
        Sending::Chunks => send_body(wire, upload, &mut encoder).await?,
        Sending::UntilClose(mut body) => {
            wire.ends_with_close(true);
            let sent = send_body(wire, upload, &mut body).await?;
            wire.flush().await?;
            wire.ends_with_close(false);
            sent
        }
    };
    wire.complete_answer(status);
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
                if wire.is_full() {
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
                error!(target: LOG, "{name}: an answer's body failed: {error}");
                wire.flush().await?;
                return Err(error);
            }
        }
    }
}
