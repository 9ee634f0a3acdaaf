//! What answers requests: a [`Handler`].

use std::future::Future;

use http_types::{Request, Response};

use crate::web::Exchange;

/// An async function that answers requests.
///
/// Implemented for `async fn(Request) -> http_types::Result<Response>`, and for the same with an
/// [`Exchange`] as a second argument. It need not be `Send` and may hold an `Rc`. An error is
/// answered with the error's status and without its text; a panic is answered with 500.
///
/// A request whose target or host the URL of a [`Request`] would change is refused with 400, but for what
/// [`Exchange::target`] tells.
pub trait Handler<Arguments>: 'static {
    /// Answers one request.
    fn handle(
        &self,
        request: Request,
        exchange: Exchange,
    ) -> impl Future<Output = http_types::Result<Response>> + 'static;
}

impl<F, Fut> Handler<(Request,)> for F
where
    F: Fn(Request) -> Fut + 'static,
    Fut: Future<Output = http_types::Result<Response>> + 'static,
{
    fn handle(
        &self,
        request: Request,
        _exchange: Exchange,
    ) -> impl Future<Output = http_types::Result<Response>> + 'static {
        self(request)
    }
}

impl<F, Fut> Handler<(Request, Exchange)> for F
where
    F: Fn(Request, Exchange) -> Fut + 'static,
    Fut: Future<Output = http_types::Result<Response>> + 'static,
{
    fn handle(
        &self,
        request: Request,
        exchange: Exchange,
    ) -> impl Future<Output = http_types::Result<Response>> + 'static {
        self(request, exchange)
    }
}
