//! `grpc.health.v1`: what tonic-health says, as long as the run is ready.

use std::pin::Pin;

use futures_lite::{FutureExt, Stream, StreamExt, stream};
use tonic::{Extensions, Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_server};
use tonic_health::server::HealthService;

use crate::hyper::Exchange;

/// The health service of tonic-health, which knows nothing of readiness and of a shutdown.
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
        let exchange = exchange(request.extensions())?;
        let known = self.inner.check(request).await?.into_inner();
        Ok(Response::new(told(&exchange, known)))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    /// The stream ends with shutdown, or whoever watches would hold the drain for ever.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let exchange = exchange(request.extensions())?;
        let inner = self.inner.watch(request).await?.into_inner();
        let watch = Watch { inner, exchange, known: None, said: None };
        let watched = stream::unfold(watch, |mut watch| async {
            let next = watch.next().await?;
            Some((next, watch))
        });
        Ok(Response::new(Box::pin(watched)))
    }
}

/// A client that watches.
struct Watch<S> {
    inner: S,
    exchange: Exchange,
    /// What tonic-health has said last, and what the client was told.
    known: Option<HealthCheckResponse>,
    said: Option<HealthCheckResponse>,
}

impl<S: Stream<Item = Result<HealthCheckResponse, Status>> + Unpin> Watch<S> {
    /// Waits for what the client should be told next; `None` is the end.
    async fn next(&mut self) -> Option<Result<HealthCheckResponse, Status>> {
        loop {
            let changed = self.exchange.ready().changed();
            let now = self.known.map(|known| told(&self.exchange, known));
            if now.is_some() && now != self.said {
                self.said = now;
                return now.map(Ok);
            }
            if self.exchange.shutdown().has_begun() {
                return None;
            }
            let changed = async {
                changed.await;
                Some(Ok(self.known))
            };
            let next = changed.or(async { Some(self.inner.next().await?.map(Some)) });
            match self.exchange.shutdown().race(next).await {
                Some(Some(Ok(known))) => self.known = known,
                Some(Some(Err(error))) => return Some(Err(error)),
                Some(None) => return None,
                None => {}
            }
        }
    }
}

/// What a client is told if tonic-health knows this.
fn told(exchange: &Exchange, known: HealthCheckResponse) -> HealthCheckResponse {
    match known.status() {
        ServingStatus::Serving if !exchange.ready().get() => {
            HealthCheckResponse { status: ServingStatus::NotServing.into() }
        }
        _ => known,
    }
}

fn exchange(extensions: &Extensions) -> Result<Exchange, Status> {
    let exchange = extensions.get::<Exchange>().cloned();
    exchange.ok_or_else(|| Status::internal("not served by adieu"))
}
