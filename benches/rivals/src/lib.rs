//! What every program here answers.

use std::convert::Infallible;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes};
use hyper::{Request, Response};

#[path = "../../../examples/proto/mod.rs"]
pub mod proto;

/// Answers at once; `/read` when the body has arrived, or has broken.
pub async fn hello<B: Body>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/read" {
        drop(request.into_body().collect().await);
    }
    Ok(Response::new(Full::new(Bytes::from_static(b"Hello from server1"))))
}

/// The address to listen on: the one argument.
pub fn address() -> String {
    std::env::args().nth(1).expect("an argument: the address to listen on")
}
