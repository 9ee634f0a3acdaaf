//! A long answer, made as it is sent: `cargo run --example stream`.
//!
//! Every GET is answered with 100,000,000 bytes, which at no time are in memory together.

mod common;

use std::process::ExitCode;

use adieu::http::http_types::{Body, Request, Response, Result, StatusCode};
use adieu::{Http, Listener, Supervisor};
use futures_lite::{AsyncReadExt, io};

const SIZE: u64 = 100_000_000;

async fn long(_request: Request) -> Result<Response> {
    let mut response = Response::new(StatusCode::Ok);
    let bytes = io::BufReader::new(io::repeat(b'.').take(SIZE));
    response.set_body(Body::from_reader(bytes, None));
    Ok(response)
}

fn main() -> ExitCode {
    let [address] = common::addresses([("--listen", "127.0.0.1:8080")]);
    adieu::exit(async {
        let signals = adieu::signals()?;
        let server = Http::bind(&address, long)?;
        log::info!("stream listening on {}", server.listener().address());
        Ok(Supervisor::new().service("stream", server).run(signals).await?)
    })
}
