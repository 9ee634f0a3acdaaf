//! axum as people use it: events, WebSockets, a time limit for each answer, and files.
//!
//! ```sh
//! cargo run --example axum --features hyper       # then, in another terminal:
//! curl -N localhost:8080/events                   # on Ctrl-C the stream ends by itself, in order
//! websocat ws://localhost:8080/ws                 # hears 1001, "going away", on Ctrl-C
//! curl -i localhost:8080/slow                     # 503 after a second
//! curl localhost:8080/files/Cargo.toml            # a file of the folder that it was started in
//! ```
//!
//! adieu needs no tokio, and no more does axum's routing. These four do, so one runtime is entered in `main`. It
//! needs a worker of its own, because nothing else drives its clock: everything here runs on adieu's thread, except
//! what is handed to `tokio::spawn` or tokio's pool of threads, such as WebSockets and the reading of files.

mod common;

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use adieu::hyper::{Hyper, tower};
use adieu::{Exchange, Listener, Supervisor};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use futures_lite::{Stream, stream};
use tokio::runtime::Builder;
use tower_http::services::ServeDir;
use tower_http::timeout::TimeoutLayer;

/// One event at once, and one more each second. Nothing here knows of the shutdown: streams of events end by
/// themselves when the drain begins.
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let numbers = stream::unfold(0_u64, async |number| {
        if number > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Some((Ok(Event::default().data(number.to_string())), number + 1))
    });
    Sse::new(numbers).keep_alive(KeepAlive::default())
}

async fn websocket(
    upgrade: WebSocketUpgrade,
    Extension(exchange): Extension<Exchange>,
) -> Response {
    upgrade.on_upgrade(move |socket| async move {
        if let Err(error) = echo(socket, &exchange).await {
            log::debug!("{}: {error}", exchange.peer());
        }
    })
}

/// Sends every message back. When the drain begins it sends a Close frame and waits for the client's; a client that
/// never answers is cut off at the deadline.
async fn echo(mut socket: WebSocket, exchange: &Exchange) -> Result<(), axum::Error> {
    while let Some(message) = exchange.shutdown().race(socket.recv()).await {
        match message.transpose()? {
            Some(message @ (Message::Text(_) | Message::Binary(_))) => socket.send(message).await?,
            Some(_) => {}
            None => return Ok(()),
        }
    }
    let goodbye = CloseFrame { code: close_code::AWAY, reason: "shutting down".into() };
    socket.send(Message::Close(Some(goodbye))).await?;
    while socket.recv().await.transpose()?.is_some() {}
    Ok(())
}

async fn slow() -> impl IntoResponse {
    tokio::time::sleep(Duration::from_secs(60)).await;
}

fn router() -> Router {
    let timeout =
        TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(1));
    Router::new()
        .route("/slow", get(slow).layer(timeout))
        .route("/events", get(events))
        .route("/ws", get(websocket))
        .nest_service("/files", ServeDir::new("."))
}

fn main() -> ExitCode {
    let [address] = common::addresses([("--listen", "127.0.0.1:8080")]);
    adieu::exit(async {
        let signals = adieu::signals()?;
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let _entered = runtime.enter();
        let server = Hyper::bind(&address, tower(router()))?;
        log::info!("axum listening on {}", server.listener().address());
        Ok(Supervisor::new().service("axum", server).run(signals).await?)
    })
}
