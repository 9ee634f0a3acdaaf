//! What is spoken on accepted connections.

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::connection::Connection;

/// What is spoken on accepted connections.
pub trait Protocol<S>: 'static {
    /// Serves one connection until it is closed.
    ///
    /// It should keep `connection` informed of its [state](crate::State), close when it is idle and
    /// [draining](Connection::draining), and drop `connection` with the stream. An error is logged
    /// at debug level: on a network, connections break. A panic costs this connection alone.
    fn serve(
        self: Rc<Self>,
        stream: S,
        connection: Connection,
    ) -> impl Future<Output = io::Result<()>> + 'static;

    /// Whether the protocol learns from the bytes of a connection whose it is, and tells it with
    /// [`Connection::set_peer`]. Then the accept loop does not count the connection as one of the peer that
    /// it was accepted from, since that peer passes on the connections of many clients.
    fn learns_peer(&self) -> bool {
        false
    }

    /// The shortest time limit that the protocol ever gives to a connection. It bounds how often the
    /// limits are looked at.
    fn shortest_limit(&self) -> Duration {
        Duration::MAX
    }
}
