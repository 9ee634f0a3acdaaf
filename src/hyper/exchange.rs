//! What a service may want to know besides the request.

use std::fmt;
use std::sync::Arc;

use crate::net::Peer;
use crate::server::Connection;
use crate::shutdown::{Shutdown, Trigger};
#[cfg(feature = "grpc")]
use crate::status::Ready;

/// What a service may want to know besides the request: an extension of every request.
///
/// ```
/// # fn service(request: adieu::hyper::hyper::Request<()>) {
/// let exchange = request.extensions().get::<adieu::hyper::Exchange>();
/// let draining = exchange.is_some_and(|exchange| exchange.shutdown().has_begun());
/// # }
/// ```
#[derive(Clone)]
pub struct Exchange(Arc<Known>);

/// The same for all requests of a connection. Not a [`Context`](crate::Context), since an extension must be
/// thread-safe.
struct Known {
    peer: Peer,
    shutdown: Shutdown,
    requested: Trigger,
    #[cfg(feature = "grpc")]
    ready: Ready,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Exchange").field(self.peer()).field(self.shutdown()).finish()
    }
}

impl Exchange {
    pub(super) fn new(connection: &Connection) -> Exchange {
        let status = connection.context().status();
        Exchange(Arc::new(Known {
            peer: connection.peer().clone(),
            shutdown: connection.shutdown().clone(),
            requested: status.causes().trigger().clone(),
            #[cfg(feature = "grpc")]
            ready: status.ready().clone(),
        }))
    }

    /// Who sent the request.
    pub fn peer(&self) -> &Peer {
        &self.0.peer
    }

    /// The shutdown: a long answer should come to an end once it has begun.
    pub fn shutdown(&self) -> &Shutdown {
        &self.0.shutdown
    }

    /// Begins the shutdown of the whole run, as [`Context::shut_down`](crate::Context::shut_down) does. This
    /// request is in flight, and is answered.
    pub fn shut_down(&self) {
        self.0.requested.shut_down();
    }

    #[cfg(feature = "grpc")]
    pub(crate) fn ready(&self) -> &Ready {
        &self.0.ready
    }
}
