//! An HTTP/1.1 server for conformance suites: `cargo run --example http_echo -- --listen 127.0.0.1:8080`.
//!
//! GET of any path answers 200 `OK`. Any method with a body is answered with that body, streamed.
//! `/echo` answers the request's headers and `/cookie` its cookie pairs, one per line.

mod common;

use std::process::ExitCode;

use adieu::http::http_types::{Body, Method, Request, Response, Result, StatusCode};
use adieu::http::{Http, Limits};
use adieu::{Listener, Supervisor};
use futures_lite::{AsyncReadExt, io};

/// How much of a body is read before the answer begins, in bytes: a body that turns out to be
/// malformed within it is answered with 400 and nothing else.
const LOOK_AHEAD: usize = 64 * 1024;

async fn echo(mut request: Request) -> Result<Response> {
    match request.url().path() {
        "/echo" => return Ok(lines(headers(&request))),
        "/cookie" => return Ok(lines(cookies(&request))),
        _ => {}
    }
    if request.method() == Method::Options {
        let mut response = Response::new(StatusCode::NoContent);
        response.insert_header("allow", "GET, HEAD, POST, PUT, OPTIONS, PATCH");
        return Ok(response);
    }
    if request.is_empty() == Some(true) {
        return Ok("OK".into());
    }
    let mut body = request.take_body();
    let mut start = Vec::new();
    (&mut body).take(LOOK_AHEAD as u64).read_to_end(&mut start).await?;
    let mut response = Response::new(StatusCode::Ok);
    if start.len() < LOOK_AHEAD {
        response.set_body(start);
    } else {
        let whole = io::BufReader::new(io::Cursor::new(start).chain(body));
        response.set_body(Body::from_reader(whole, request.len()));
    }
    response.insert_header("content-type", "application/octet-stream");
    Ok(response)
}

fn headers(request: &Request) -> Vec<String> {
    let lines = request
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| format!("{name}: {value}")));
    lines.collect()
}

fn cookies(request: &Request) -> Vec<String> {
    let values = request.header("cookie").into_iter().flat_map(|values| values.iter());
    let pairs = values.flat_map(|value| value.as_str().split(';'));
    pairs.map(|pair| pair.trim().to_owned()).filter(|pair| !pair.is_empty()).collect()
}

fn lines(lines: Vec<String>) -> Response {
    (lines.join("\n") + "\n").into()
}

fn main() -> ExitCode {
    let [address] = common::addresses([("--listen", "127.0.0.1:8080")]);
    adieu::exit(async {
        let signals = adieu::signals()?;
        // It streams, so a large body costs nothing.
        let limits = Limits { body_size: u64::MAX, ..Limits::default() };
        let server = Http::bind(&address, echo)?.limits(limits);
        log::info!("echo listening on {}", server.listener().address());
        Ok(Supervisor::new().service("echo", server).run(signals).await?)
    })
}
