//! tower services, which have to be asked whether they are ready, as hyper services.

use std::future::{Future, poll_fn};
use std::pin::Pin;

use ::hyper::Request;
use ::hyper::service::Service;

use super::body::RequestBody;

/// Makes a hyper service of a tower service, such as an `axum::Router`. Each request goes to a clone.
pub fn tower<T>(service: T) -> Tower<T> {
    Tower(service)
}

/// A tower service as a hyper service; made by [`tower`].
#[derive(Clone, Debug)]
pub struct Tower<T>(T);

impl<T> Service<Request<RequestBody>> for Tower<T>
where
    T: tower_service::Service<Request<RequestBody>> + Clone + 'static,
{
    type Response = T::Response;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<T::Response, T::Error>>>>;

    fn call(&self, request: Request<RequestBody>) -> Self::Future {
        let mut service = self.0.clone();
        Box::pin(async move {
            poll_fn(|cx| service.poll_ready(cx)).await?;
            service.call(request).await
        })
    }
}
