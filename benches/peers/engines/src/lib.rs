//! What every program here answers.

use std::convert::Infallible;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes};
use hyper::{Request, Response};

#[path = "../../../../examples/proto/mod.rs"]
pub mod proto;

/// How long the answer to `/big` is, in bytes.
pub const BIG: usize = 4_000_000;

/// Answers at once: `/read` when the body has arrived, or has broken; `/big` with one large frame.
pub async fn hello<B: Body>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    let answer = match request.uri().path() {
        "/big" => Bytes::from(vec![b'x'; BIG]),
        _ => Bytes::from_static(b"Hello from server1"),
    };
    if request.uri().path() == "/read" {
        drop(request.into_body().collect().await);
    }
    Ok(Response::new(Full::new(answer)))
}

/// The address to listen on: the one argument.
pub fn address() -> String {
    std::env::args().nth(1).expect("an argument: the address to listen on")
}

/// Has the log say who was cut off.
pub fn log() {
    env_logger::Builder::new().filter_level(log::LevelFilter::Info).init();
}
