//! Whoever has just connected means to say something: its first byte may be on its way.

use std::future::Future;
use std::time::Duration;

use futures_lite::future;

use crate::connection::Connection;

/// How long after it was accepted a connection still gets to send its first byte, when the drain finds
/// it without one. A client writes its request when its handshake is done; that takes a moment.
const FRESH: Duration = Duration::from_millis(20);

/// Gives a connection what is left of that moment, in which `first_byte` may come. `None` if it does not.
pub(crate) async fn late<T>(
    connection: &Connection,
    first_byte: impl Future<Output = T>,
) -> Option<T> {
    let age = connection.clock().now().saturating_duration_since(connection.entry().accepted);
    let patience = FRESH.saturating_sub(age);
    if patience.is_zero() {
        return None;
    }
    let long_enough = async {
        connection.context().sleep(patience).await;
        None
    };
    future::or(async { Some(first_byte.await) }, long_enough).await
}
