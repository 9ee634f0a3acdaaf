//! A connection handed to a handler, after `101 Switching Protocols`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use async_channel::Sender;
use futures_lite::{AsyncRead, AsyncWrite};

use super::wire::Wire;
use crate::net::Stream;
use crate::register::State;

/// Hands the stream to whoever waits at the other end of the response's upgrade, and waits
/// until it is dropped there.
pub(super) async fn hand_over<S: Stream>(
    wire: Wire<S>,
    sender: http_types::upgrade::Sender,
) -> io::Result<()> {
    let (open, closed) = async_channel::bounded::<Infallible>(1);
    let (stream, connection, inbox) = wire.into_parts();
    connection.set_state(State::Upgraded, None);
    let upgraded = Upgraded { stream, early: inbox.into(), _open: open };
    sender.send(http_types::upgrade::Connection::new(upgraded)).await;
    let Err(_dropped) = closed.recv().await;
    Ok(())
}

/// The stream, beginning with what the client sent behind its request; while it is there, the
/// connection counts as open.
struct Upgraded<S> {
    stream: S,
    early: VecDeque<u8>,
    _open: Sender<Infallible>,
}

impl<S: Stream> AsyncRead for Upgraded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
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
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
