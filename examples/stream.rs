//! A long answer, made as it is sent: `cargo run --example stream -- --listen 127.0.0.1:8080`.
//!
//! Every GET is answered with 100,000,000 bytes, which at no time are in memory together.

use std::process::ExitCode;

use adieu::Supervisor;
use adieu::http::Http;
use adieu::http::http_types::{Body, Request, Response, Result, StatusCode};
use futures_lite::{AsyncReadExt, io};

const SIZE: u64 = 100_000_000;

async fn long(_request: Request) -> Result<Response> {
    let mut response = Response::new(StatusCode::Ok);
    let bytes = io::BufReader::new(io::repeat(b'.').take(SIZE));
    response.set_body(Body::from_reader(bytes, None));
    Ok(response)
}

fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    let listen = argument.as_deref().and_then(|argument| argument.strip_prefix("--listen="));
    let address = listen.unwrap_or("127.0.0.1:8080");
    adieu::exit(async {
        let supervisor = Supervisor::new().service("stream", Http::bind(address, long)?);
        Ok(supervisor.run(adieu::signals()?).await?)
    })
}
