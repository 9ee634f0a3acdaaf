//! A WebSocket server that sends back what it gets, and says goodbye when it shuts down.
//!
//! ```sh
//! cargo run --example websocket       # then, in another terminal: websocat ws://localhost:9002
//! ```

mod common;

use std::process::ExitCode;

use adieu::http::http_types::upgrade::Connection;
use adieu::http::http_types::{Request, Response, Result, StatusCode};
use adieu::http::{Exchange, Http};
use adieu::{Listener, Supervisor};
use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::handshake::derive_accept_key;
use async_tungstenite::tungstenite::protocol::frame::{CloseFrame, coding::CloseCode};
use async_tungstenite::tungstenite::{self, Message, protocol::Role};

/// Answers the handshake (RFC 6455, 4.2.2), and leaves the connection to a task of the service.
pub async fn handler(request: Request, exchange: Exchange) -> Result<Response> {
    let key = request.header("sec-websocket-key").map(|key| key.as_str());
    let version = request.header("sec-websocket-version").map(|version| version.as_str());
    let (Some(key), Some("13")) = (key, version) else {
        let mut response = Response::new(StatusCode::UpgradeRequired);
        response.insert_header("upgrade", "websocket");
        response.insert_header("connection", "upgrade");
        response.insert_header("sec-websocket-version", "13");
        return Ok(response);
    };
    let mut response = Response::new(StatusCode::SwitchingProtocols);
    response.insert_header("upgrade", "websocket");
    response.insert_header("connection", "upgrade");
    response.insert_header("sec-websocket-accept", derive_accept_key(key.as_bytes()));
    let upgraded = response.recv_upgrade().await;
    let task = exchange.clone();
    exchange.spawn(async move {
        let Some(connection) = upgraded.await else { return };
        if let Err(error) = converse(connection, &task).await {
            log::debug!("{}: {error}", task.peer());
        }
    });
    Ok(response)
}

/// Sends every message back. When shutdown begins it sends a Close frame and waits for the client's;
/// a client that never answers is cut off at the deadline.
async fn converse(connection: Connection, exchange: &Exchange) -> tungstenite::Result<()> {
    let mut socket = WebSocketStream::from_raw_socket(connection, Role::Server, None).await;
    while let Some(message) = exchange.shutdown().race(next(&mut socket)).await {
        match message? {
            Some(message @ (Message::Text(_) | Message::Binary(_))) => socket.send(message).await?,
            Some(_) => {}
            None => return Ok(()),
        }
    }
    let reason = "shutting down".into();
    socket.close(Some(CloseFrame { code: CloseCode::Away, reason })).await?;
    while next(&mut socket).await?.is_some() {}
    Ok(())
}

/// The next message; `None` once both sides have said goodbye. Pings are answered meanwhile.
async fn next(socket: &mut WebSocketStream<Connection>) -> tungstenite::Result<Option<Message>> {
    use futures_lite::StreamExt;
    match socket.next().await.transpose() {
        Err(tungstenite::Error::ConnectionClosed) => Ok(None),
        message => message,
    }
}

fn main() -> ExitCode {
    let [address] = common::addresses([("--listen", "[::]:9002")]);
    adieu::exit(async {
        let signals = adieu::signals()?;
        let server = Http::bind(&address, handler)?;
        log::info!("websocket listening on {}", server.listener().address());
        Ok(Supervisor::new().service("websocket", server).run(signals).await?)
    })
}
