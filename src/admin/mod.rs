//! The admin server: probes, metrics, and one page for people.
//!
//! | path | what it answers |
//! |---|---|
//! | `/livez` | 200, as long as the thread is not blocked |
//! | `/readyz` | 200 while the run is ready; else 503 and the reasons: who holds readiness back, or that it ends |
//! | `/metrics` | the Prometheus text format |
//! | `/` | one page: services, connections by state, whom the drain waits for |
//!
//! It shows client addresses and request lines to every client: bind it to a private address.

mod metrics;
mod page;
mod process;

use std::time::SystemTime;

use http_types::{Method, Request, Response, StatusCode};

use crate::error::{BoxError, Error};
use crate::http::Http;
use crate::net::{Listener, SocketListener};
use crate::server::Server;
use crate::service::{Context, Service};
use crate::status::Status;

/// A service that tells how the run is. Add it to the last [stage](crate::Supervisor::next_stage), so
/// that it is there until the others have drained.
///
/// ```no_run
/// use adieu::{Admin, Supervisor};
///
/// let supervisor = Supervisor::new().next_stage().service("admin", Admin::bind("127.0.0.1:9000")?);
/// # Ok::<(), adieu::Error>(())
/// ```
#[derive(Debug)]
pub struct Admin<L> {
    listener: L,
}

impl Admin<SocketListener> {
    /// Binds a TCP or Unix socket for it (see [`SocketListener::bind`]).
    pub fn bind(address: &str) -> Result<Admin<SocketListener>, Error> {
        Ok(Admin::new(SocketListener::bind(address)?))
    }
}

impl<L: Listener> Admin<L> {
    /// Serves on a bound listener.
    pub fn new(listener: L) -> Admin<L> {
        Admin { listener }
    }

    /// The listener.
    pub fn listener(&self) -> &L {
        &self.listener
    }
}

impl<L: Listener> Service for Admin<L> {
    async fn serve(self, cx: Context) -> Result<(), BoxError> {
        let status = cx.status().clone();
        let began =
            SystemTime::now().checked_sub(status.uptime()).unwrap_or(SystemTime::UNIX_EPOCH);
        let handler = move |request: Request| {
            let response = answer(&status, began, &request);
            async { Ok(response) }
        };
        Server::new(self.listener, Http::new(handler)).serve(cx).await
    }
}

fn answer(status: &Status, began: SystemTime, request: &Request) -> Response {
    if !matches!(request.method(), Method::Get | Method::Head) {
        let mut refusal = text(StatusCode::MethodNotAllowed, "look, do not touch\n");
        refusal.insert_header("allow", "GET, HEAD");
        return refusal;
    }
    match request.url().path() {
        "/livez" => text(StatusCode::Ok, "alive\n"),
        "/readyz" if status.is_ready() => text(StatusCode::Ok, "ready\n"),
        "/readyz" => text(StatusCode::ServiceUnavailable, why_not_ready(status)),
        "/metrics" => {
            let mut response = text(StatusCode::Ok, metrics::render(status, began));
            response.insert_header("content-type", "text/plain; version=0.0.4; charset=utf-8");
            response
        }
        "/" => {
            let mut response = text(StatusCode::Ok, page::render(status));
            response.insert_header("content-type", "text/html; charset=utf-8");
            let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
            response.insert_header("content-security-policy", policy);
            response
        }
        _ => text(StatusCode::NotFound, "there are /, /livez, /readyz and /metrics\n"),
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

fn text(status: StatusCode, body: impl Into<String>) -> Response {
    let mut response = Response::new(status);
    response.set_body(body.into());
    response.insert_header("cache-control", "no-store");
    response.insert_header("x-content-type-options", "nosniff");
    response
}
