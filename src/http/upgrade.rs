//! A connection handed to a handler, after `101 Switching Protocols`.
//!
//! What the handler does with the stream is its own protocol, so only the way in which it lets go of the
//! stream can tell whether it had come to an end. If it drops the stream, that is the end, and a clean one. If it
//! is cut off or panics, the connection is reset.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use async_channel::Sender;
use futures_lite::{AsyncRead, AsyncWrite};

use super::wire::Wire;
use crate::net::Stream;
use crate::register::State;
use crate::server::deliver;

/// Hands the stream to the handler's end of the response's upgrade, and waits until it is dropped there.
pub(super) async fn hand_over<S: Stream>(
    wire: Wire<S>,
    sender: http_types::upgrade::Sender,
) -> io::Result<()> {
    let (give_back, given_back) = async_channel::bounded(1);
    let (stream, connection, inbox) = wire.into_parts();
    connection.set_state(State::Upgraded, None);
    stream.reset_on_close(true);
    let upgraded = Upgraded { stream: Some(stream), early: inbox.into(), give_back };
    sender.send(http_types::upgrade::Connection::new(upgraded)).await;
    match given_back.recv().await {
        Ok(mut stream) => deliver(&mut stream).await,
        Err(_panicked) => Ok(()),
    }
}

/// The stream, beginning with what the client sent behind its request; while it is there, the
/// connection counts as open.
struct Upgraded<S> {
    /// Until it is dropped.
    stream: Option<S>,
    early: VecDeque<u8>,
    give_back: Sender<S>,
}

impl<S: Stream> Upgraded<S> {
    fn stream(&mut self) -> Pin<&mut S> {
        Pin::new(self.stream.as_mut().expect("only a drop takes it"))
    }
}

impl<S> Drop for Upgraded<S> {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take().filter(|_| !std::thread::panicking()) {
            // At the deadline nobody takes it, and it goes with a reset.
            let _ = self.give_back.try_send(stream);
        }
    }
}

impl<S: Stream> AsyncRead for Upgraded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.early.is_empty() {
            return self.stream().poll_read(cx, buf);
        }
        let amount = self.early.read(buf)?;
        if self.early.is_empty() {
            self.early = VecDeque::new();
        }
        Poll::Ready(Ok(amount))
    }
}

impl<S: Stream> AsyncWrite for Upgraded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_close(cx)
    }
}
