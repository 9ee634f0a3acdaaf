//! Raw TCP and Unix sockets: a handler that is given the stream.
//!
//! The handler borrows stream and connection, so that both end together: when it returns, what it
//! has written is delivered before the socket closes.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::connection::Connection;
use super::patience::{deliver, first_byte_of_newcomer, linger, poll_last_look};
use super::protocol::Protocol;
use crate::net::Stream;
use crate::register::{ClientEnd, State};

/// How much [`Connection::read`] reads at once, in bytes.
const READ_SIZE: usize = 8 * 1024;

/// Bytes as they come, as a [`Protocol`]: the handler is the protocol.
///
/// A handler is an `async fn(&mut S, &Connection) -> io::Result<()>`. It need not be `Send` and may
/// hold an `Rc`. When it returns `Ok`, what it has written is flushed, the connection is half-closed and given
/// half a second, a tenth in the drain, for the client to take what was written.
///
/// However else the handler ends, its bytes are not all that it had to say, and the client must not take
/// them for all: the connection is reset ([`Stream::reset_on_close`]). That is so if it returns an error,
/// which is logged at debug level, if it panics, which costs this connection alone, if it is cut off at
/// the deadline, and if the process is killed. A Unix socket cannot be reset; there the client sees an end.
///
/// When shutdown begins a handler has the grace period to come to an end: it watches
/// [`Connection::shutdown`], or uses [`Connection::read`], which does.
pub struct Tcp<F> {
    handler: F,
}

impl<F> fmt::Debug for Tcp<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tcp").finish_non_exhaustive()
    }
}

impl<F> Tcp<F> {
    /// Serves each connection with `handler`.
    pub fn new(handler: F) -> Tcp<F> {
        Tcp { handler }
    }
}

impl<S, F> Protocol<S> for Tcp<F>
where
    S: Stream,
    F: AsyncFn(&mut S, &Connection) -> io::Result<()> + 'static,
{
    async fn serve(self: Rc<Self>, mut stream: S, connection: Connection) -> io::Result<()> {
        connection.set_state(State::Upgraded, None);
        // Whatever ends the handler before it returns, even the death of the process, the client can tell.
        stream.reset_on_close(true);
        (self.handler)(&mut stream, &connection).await?;
        // In a box: what only the end needs must not weigh on a connection that waits.
        let end = async move {
            deliver(&mut stream).await?;
            linger(stream, &connection).await
        };
        Box::pin(end).await
    }
}

impl Connection {
    /// Appends to `bytes` what comes next, and tells how many they were. 0 is the end: the peer has
    /// closed its side; or nothing is there, and shutdown has begun or the connection was
    /// [asked to leave](Connection::asked_to_leave).
    ///
    /// Bytes that are there when shutdown begins are still handed out, so a request that was sent
    /// in time is not lost. If nothing has come yet from a connection that is younger than 20 ms, the read waits
    /// until it is 20 ms old: the first byte may be on its way. While it waits there is no buffer, and with nothing in `bytes` the
    /// connection is [idle](State::Idle); afterwards it is [upgraded](State::Upgraded), as a
    /// connection is that its handler works on.
    ///
    /// What the read tells of the client's end is noted: the end of its stream as
    /// [closed](ClientEnd::Closed), an error as [gone](ClientEnd::Gone).
    ///
    /// There is no time limit; give it one with [`Context::sleep`](crate::Context::sleep).
    /// Cancel-safe: dropped before it is done, it has taken no bytes.
    pub async fn read<S: Stream>(&self, stream: &mut S, bytes: &mut Vec<u8>) -> io::Result<usize> {
        if bytes.is_empty() {
            self.set_state(State::Idle, None);
        }
        let mut read = poll_fn(|cx| self.poll_read(stream, bytes, cx)).await;
        if matches!(read, Ok(None)) && self.is_silent_so_far() {
            // In a box: few connections come to this.
            let first = poll_fn(|cx| self.poll_some(stream, bytes, cx));
            read = Box::pin(first_byte_of_newcomer(self, first)).await.transpose();
        }
        match read {
            Ok(Some(0)) => self.note_client(ClientEnd::Closed),
            Ok(_) => {}
            Err(_) => self.note_client(ClientEnd::Gone),
        }
        self.set_state(State::Upgraded, None);
        Ok(read?.unwrap_or(0))
    }

    /// Reads what comes next; `None` if there will be nothing that is waited for.
    fn poll_read<S: Stream>(
        &self,
        stream: &mut S,
        bytes: &mut Vec<u8>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<usize>>> {
        poll_last_look(self, self.is_asked_to_end(), stream, cx, |stream, cx| {
            self.poll_some(stream, bytes, cx)
        })
    }

    fn poll_some<S: Stream>(
        &self,
        stream: &mut S,
        bytes: &mut Vec<u8>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut buffer = [0; READ_SIZE];
        let amount = ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        bytes.extend_from_slice(&buffer[..amount]);
        self.count_received(amount);
        Poll::Ready(Ok(amount))
    }
}
