//! What is answered, by path.

use std::time::SystemTime;

use http_types::{Method, Request, Response, StatusCode};
use log::info;

use super::additions::Additions;
use super::{metrics, page};
use crate::http::Exchange;
use crate::status::Status;
use crate::words::LOG;

pub(super) struct Desk {
    pub(super) status: Status,
    pub(super) began: SystemTime,
    pub(super) additions: Additions,
}

impl Desk {
    pub(super) async fn answer(
        &self,
        request: Request,
        exchange: Exchange,
    ) -> http_types::Result<Response> {
        if request.url().path() == "/drain" {
            return Ok(self.drain(&request, &exchange));
        }
        match self.additions.route(request.url().path()) {
            Some(handler) => handler(request, exchange).await,
            None => Ok(self.look(&request)),
        }
    }

    fn look(&self, request: &Request) -> Response {
        if !matches!(request.method(), Method::Get | Method::Head) {
            return not_allowed("look, do not touch\n", "GET, HEAD");
        }
        match request.url().path() {
            "/livez" => text(StatusCode::Ok, "alive\n"),
            "/readyz" if self.status.is_ready() => text(StatusCode::Ok, "ready\n"),
            "/readyz" => text(StatusCode::ServiceUnavailable, why_not_ready(&self.status)),
            "/metrics" => {
                let mut metrics = metrics::render(&self.status, self.began);
                self.additions.append_metrics(&mut metrics);
                let mut response = text(StatusCode::Ok, metrics);
                response.insert_header("content-type", "text/plain; version=0.0.4; charset=utf-8");
                response
            }
            "/" => {
                let page = page::render(&self.status, &self.additions.program());
                let mut response = text(StatusCode::Ok, page);
                response.insert_header("content-type", "text/html; charset=utf-8");
                let policy =
                    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
                response.insert_header("content-security-policy", policy);
                response
            }
            _ => text(StatusCode::NotFound, format!("there are {}\n", self.additions.paths())),
        }
    }

    fn drain(&self, request: &Request, exchange: &Exchange) -> Response {
        if !self.additions.allows_drain {
            return text(StatusCode::Forbidden, "a drain is not allowed from here\n");
        }
        if request.method() != Method::Post {
            return not_allowed("POST begins the shutdown\n", "POST");
        }
        // Every page that a browser shows may POST to an address that only this machine can reach. The
        // browser says whose page it is (Fetch standard, 3.2); curl and kubelet do not.
        if request.header("origin").is_some() {
            return text(StatusCode::Forbidden, "not for pages of a browser\n");
        }
        info!(target: LOG, peer:% = exchange.peer(); "{} asks for the shutdown", exchange.peer());
        self.status.causes().trigger().shut_down();
        text(StatusCode::Accepted, "shutting down\n")
    }
}

fn why_not_ready(status: &Status) -> String {
    if status.leaving().has_begun() {
        return "shutting down\n".to_owned();
    }
    match &*status.not_ready() {
        [] => "starting\n".to_owned(),
        held => held.iter().map(|held| format!("{held}\n")).collect(),
    }
}

fn not_allowed(words: &str, allow: &str) -> Response {
    let mut refusal = text(StatusCode::MethodNotAllowed, words);
    refusal.insert_header("allow", allow);
    refusal
}

fn text(status: StatusCode, body: impl Into<String>) -> Response {
    let mut response = Response::new(status);
    response.set_body(body.into());
    response.insert_header("cache-control", "no-store");
    response.insert_header("x-content-type-options", "nosniff");
    response
}
