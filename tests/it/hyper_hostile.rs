//! Clients of the `hyper` feature that mean no good.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use adieu::hyper::hyper::service::service_fn;
use adieu::hyper::hyper::{Request, Response};
use adieu::hyper::{Hyper, RequestBody};
use adieu::{Listener, Peer, Server, Signal, Stream};
use futures_lite::{AsyncRead, AsyncWrite, future};

use crate::rig::Rig;

/// How long a flood is, in bytes.
const FLOOD: usize = 16 * 1024 * 1024;

async fn hello(_request: Request<RequestBody>) -> Result<Response<String>, Infallible> {
    Ok(Response::new("hello".to_owned()))
}

/// A client that sends faster than it can be read: `opening`, then `again` over and over. As with a
/// socket, it takes a turn of the reactor to hear that something is there.
struct Flood {
    opening: &'static [u8],
    again: &'static [u8],
    sent: Arc<AtomicUsize>,
    asked: AtomicBool,
}

impl Stream for Flood {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.asked.fetch_not(Relaxed) {
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn half_close(&self) -> io::Result<()> {
        Ok(())
    }

    fn reset_on_close(&self, _resets: bool) {}
}

impl AsyncRead for Flood {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let sent = self.sent.fetch_add(buf.len(), Relaxed);
        if sent > FLOOD {
            return Poll::Ready(Ok(0));
        }
        for (at, byte) in (sent..).zip(&mut *buf) {
            let opened = at.checked_sub(self.opening.len());
            *byte = opened.map_or_else(|| self.opening[at], |at| self.again[at % self.again.len()]);
        }
        Poll::Ready(Ok(buf.len()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Has one client, and never another.
struct OneClient(Option<Flood>);

impl Listener for OneClient {
    type Stream = Flood;

    fn poll_accept(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<(Flood, Peer)>> {
        self.0.take().map_or(Poll::Pending, |client| Poll::Ready(Ok((client, Peer::Memory(1)))))
    }

    fn address(&self) -> String {
        "flood".to_owned()
    }
}

/// How often another service gets a turn while a client floods this one.
fn turns_of_others(opening: &'static [u8], again: &'static [u8]) -> usize {
    let sent = Arc::new(AtomicUsize::new(0));
    let flood = Flood { opening, again, sent: sent.clone(), asked: AtomicBool::new(false) };
    let turns = Rc::new(Cell::new(0));
    let counted = turns.clone();
    let other = async move |_: adieu::Context| {
        while sent.load(Relaxed) < FLOOD {
            counted.set(counted.get() + 1);
            future::yield_now().await;
        }
        Ok::<(), Infallible>(())
    };
    let server = Server::new(OneClient(Some(flood)), Hyper::new(service_fn(hello)));
    let rig = Rig::start(|supervisor| supervisor.service("api", server).service("other", other));
    rig.signal(Signal::Term);
    assert!(rig.report().is_graceful());
    turns.get()
}

#[test]
fn a_flood_of_pings_leaves_turns_to_others() {
    let opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let turns = turns_of_others(opening, b"\0\0\x08\x06\0\0\0\0\x00_a_ping_");
    assert!(turns > FLOOD / (256 * 1024), "{turns}");
}

#[test]
fn a_body_that_is_not_wanted_leaves_turns_to_others() {
    let turns =
        turns_of_others(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n", b"x");
    assert!(turns > FLOOD / (256 * 1024), "{turns}");
}
