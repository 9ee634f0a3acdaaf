//! The beginning of a connection: what h2 is set to, and the handshake.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use ::h2::server::Builder;

use crate::server::Connection;
use crate::web::Limits;

/// How much one request body may bring before somebody reads it, in bytes: enough for 5 MB/s at a round
/// trip of 100 ms.
const STREAM_WINDOW: u32 = 512 * 1024;

/// The same for all bodies of a connection: a body that nobody reads leaves room for others.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// How many requests may be in flight on one connection. RFC 9113 (6.5.2) recommends 100 at least.
const STREAMS: u32 = 200;

/// How much of an answer h2 may hold, in bytes: what is written while its task gets the next turn.
const BUFFER: usize = 128 * 1024;

/// What h2 is set to, unless the user sets it otherwise.
pub(super) fn builder(limits: &Limits) -> Builder {
    // RFC 9113, 6.5.2: each field counts 32 bytes more than its name and its value have.
    let fields = limits.headers.saturating_mul(32).saturating_add(limits.head_size);
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(fields).unwrap_or(u32::MAX))
        .max_send_buffer_size(BUFFER);
    builder
}

/// Sends and receives what a connection begins with. `None`: it took too long.
pub(super) async fn shake_hands<T>(
    mut handshake: impl Future<Output = T> + Unpin,
    connection: &Connection,
) -> Option<T> {
    poll_fn(|cx| match Pin::new(&mut handshake).poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => connection.poll_expired(cx).map(|()| None),
    })
    .await
}
