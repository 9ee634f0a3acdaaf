//! `grpc.health.v1`: what tonic-health says, until shutdown begins.

use std::pin::Pin;

use futures_lite::{Stream, StreamExt, stream};
use tonic::{Extensions, Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_server};
use tonic_health::server::HealthService;

use crate::hyper::Exchange;
use crate::shutdown::Shutdown;

/// The health service of tonic-health, which knows nothing of a shutdown.
pub(super) struct Health {
    inner: HealthService,
}

impl Health {
    pub(super) fn new(inner: HealthService) -> Health {
        Health { inner }
    }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let shutdown = shutdown(request.extensions())?;
        let known = self.inner.check(request).await?;
        Ok(if shutdown.has_begun() { Response::new(not_serving()) } else { known })
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    /// The stream ends with shutdown, or whoever watches would hold the drain for ever.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let shutdown = shutdown(request.extensions())?;
        let told = self.inner.watch(request).await?.into_inner();
        let watched = stream::unfold(Some((told, shutdown)), |watching| async {
            let (mut told, shutdown) = watching?;
            let next = shutdown.race(told.next()).await;
            match next {
                Some(status) => Some((status?, Some((told, shutdown)))),
                None => Some((Ok(not_serving()), None)),
            }
        });
        Ok(Response::new(Box::pin(watched)))
    }
}

fn not_serving() -> HealthCheckResponse {
    HealthCheckResponse { status: ServingStatus::NotServing.into() }
}

fn shutdown(extensions: &Extensions) -> Result<Shutdown, Status> {
    let exchange = extensions.get::<Exchange>();
    let exchange = exchange.ok_or_else(|| Status::internal("not served by adieu"))?;
    Ok(exchange.shutdown().clone())
}
