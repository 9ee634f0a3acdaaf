//! The end of a connection after its last byte is written.

use std::borrow::Borrow;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures_lite::future;

use crate::connection::{Connection, State};
use crate::net::Stream;

/// How long a connection lingers.
const LINGER: Duration = Duration::from_millis(500);

/// The same while draining, when the end of the process waits for it.
const LINGER_DRAINING: Duration = Duration::from_millis(100);

/// Half-closes, then reads what still comes until the peer closes too, for a short time at most: a
/// reset in reply to late bytes of the client must not overtake what was written last (RFC 9112, 9.6).
pub(crate) async fn linger<S: Stream>(
    mut stream: S,
    connection: impl Borrow<Connection>,
) -> io::Result<()> {
    let connection = connection.borrow();
    connection.set_state(State::Closing, None);
    stream.half_close()?;
    let peer_closes = async {
        loop {
            match poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut [0; 4096])).await? {
                0 => return Ok(()),
                amount => connection.count_received(amount),
            }
            future::yield_now().await;
        }
    };
    let cx = connection.context();
    let long_enough = async {
        if cx.shutdown().race(cx.sleep(LINGER)).await.is_none() {
            cx.sleep(LINGER_DRAINING).await;
        }
        Ok(())
    };
    future::or(peer_closes, long_enough).await
}
