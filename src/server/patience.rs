//! Rule 5 of the drain, for all protocols: how long a connection is waited for that has nothing in flight.
//!
//! The last thing done before it closes is one more read that does not block: a byte that is there is a
//! request. A newcomer gets a moment for its first byte. And a connection whose last answer is written
//! lingers for its peer. No wait reaches past the deadline.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_lite::future;

use super::connection::Connection;
use crate::net::Stream;
use crate::register::State;

/// How long after it was accepted a connection still gets to send its first byte, when the drain finds
/// it without one. A client writes its request when its handshake is done; that takes a moment.
const FRESH: Duration = Duration::from_millis(20);

/// How long a connection lingers.
const LINGER: Duration = Duration::from_millis(500);

/// The same while draining, when the end of the process waits for it.
const LINGER_DRAINING: Duration = Duration::from_millis(100);

/// How much a lingering connection reads at once, in bytes.
const READ_SIZE: usize = 8 * 1024;

/// How much it reads before the other tasks get a turn, in bytes: twice what the system holds for a
/// socket by default (tcp_rmem in tcp(7)).
const READ_IN_A_ROW: usize = 256 * 1024;

/// Reads with `read` once something is there; `None` if the wait has ended before. If the connection was
/// `asked` to end the wait it does, or if its time limit has passed; but only after one last look.
pub(crate) fn poll_last_look<S: Stream, T>(
    connection: &Connection,
    asked: bool,
    stream: &mut S,
    cx: &mut Context<'_>,
    read: impl FnOnce(&mut S, &mut Context<'_>) -> Poll<io::Result<T>>,
) -> Poll<io::Result<Option<T>>> {
    let over = asked || connection.expired();
    if !over {
        connection.wake_on_change(cx);
        ready!(stream.poll_readable(cx))?;
    }
    match read(stream, cx) {
        Poll::Pending if over => Poll::Ready(Ok(None)),
        read => read.map_ok(Some),
    }
}

/// Gives a newcomer what is left of its moment, in which `first_byte` may come. `None` if it does not.
pub(crate) async fn first_byte_of_newcomer<T>(
    connection: &Connection,
    first_byte: impl Future<Output = T>,
) -> Option<T> {
    let patience = FRESH.saturating_sub(connection.age());
    let long_enough = async {
        connection.context().sleep_in_time(patience).await;
        None
    };
    future::or(async { Some(first_byte.await) }, long_enough).await
}

/// Writes what the stream still holds back. Then all that was written is whole, and its end is a clean one.
pub(crate) async fn deliver<S: Stream>(stream: &mut S) -> io::Result<()> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await?;
    stream.reset_on_close(false);
    Ok(())
}

/// Half-closes, then reads what still comes until the peer closes too, for a short time at most: a
/// reset in reply to late bytes of the client must not overtake what was written last (RFC 9112, 9.6).
pub(crate) async fn linger<S: Stream>(mut stream: S, connection: &Connection) -> io::Result<()> {
    connection.set_state(State::Closing, None);
    let peer_closes = async {
        // A stream that has a buffer of its own would keep the last bytes there.
        poll_fn(|cx| Pin::new(&mut stream).poll_flush(cx)).await?;
        stream.half_close()?;
        loop {
            // Even if there is no time, what is here already must not be left unread.
            let mut in_a_row = 0;
            while in_a_row < READ_IN_A_ROW {
                match poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut [0; READ_SIZE])).await?
                {
                    0 => return Ok(()),
                    amount => {
                        connection.count_received(amount);
                        in_a_row += amount;
                    }
                }
            }
            future::yield_now().await;
        }
    };
    let cx = connection.context();
    let long_enough = async {
        if cx.shutdown().race(cx.sleep(LINGER)).await.is_none() {
            cx.sleep_in_time(LINGER_DRAINING).await;
        }
        Ok(())
    };
    future::or(peer_closes, long_enough).await
}
