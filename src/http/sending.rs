//! An answer on its way out, through the engine's encoder and the outbox.

use std::future::poll_fn;
use std::io;
use std::task::{Poll, ready};

use async_h1::server::Encoder;
use futures_lite::{AsyncRead, future};
use http_types::Response;
use log::error;

use super::answer::{self, Asker, Sending};
use super::upload::{Upload, poll_upload};
use super::wire::{WRITE, Wire};
use crate::net::Stream;

/// An answer on its way out.
pub(super) struct Answering {
    pub(super) asker: Asker,
    pub(super) keep_alive: bool,
    pub(super) upload: Option<Upload>,
}

impl Answering {
    /// Encodes the response into the outbox, flushing as it grows. Returns the size of the body.
    pub(super) async fn send<S: Stream>(
        &mut self,
        wire: &mut Wire<S>,
        mut response: Response,
    ) -> io::Result<usize> {
        let status = response.status() as u16;
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
        wire.complete_answer(status);
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
}
