//! What a service may want to know besides the request.

use std::sync::Arc;

use crate::net::Peer;
use crate::server::Connection;
use crate::shutdown::Shutdown;

/// What a service may want to know besides the request: an extension of every request.
///
/// ```
/// # fn service(request: adieu::hyper::hyper::Request<()>) {
/// let exchange = request.extensions().get::<adieu::hyper::Exchange>();
/// let draining = exchange.is_some_and(|exchange| exchange.shutdown().has_begun());
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Exchange(Arc<(Peer, Shutdown)>);

impl Exchange {
    /// The same one for all requests of a connection.
    pub(super) fn new(connection: &Connection) -> Exchange {
        Exchange(Arc::new((connection.peer().clone(), connection.shutdown().clone())))
    }

    /// Who sent the request.
    pub fn peer(&self) -> &Peer {
        &self.0.0
    }

    /// The shutdown: a long answer should come to an end once it has begun.
    pub fn shutdown(&self) -> &Shutdown {
        &self.0.1
    }
}
