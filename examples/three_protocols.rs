//! HTTP, gRPC and TCP under one supervisor, and a service without a socket. One Ctrl-C sees them all out.
//!
//! ```sh
//! cargo run --example three_protocols --features grpc
//! curl localhost:8080
//! nc localhost 9000
//! grpcurl -plaintext -proto examples/proto/echo.proto -d '{"text":"hi"}' localhost:50051 adieu.echo.Echo/Say
//! ```

mod common;
mod proto;

use std::convert::Infallible;
use std::mem::take;
use std::process::ExitCode;
use std::time::Duration;

use adieu::http::http_types::{Request, Response, Result};
use adieu::{Connection, Context, Grpc, Http, Listener, SocketStream, Supervisor, Tcp};
use futures_lite::AsyncWriteExt;
use proto::{Echo, EchoServer};

async fn hello(_request: Request) -> Result<Response> {
    Ok("Hello over HTTP\n".into())
}

async fn echo(stream: &mut SocketStream, connection: &Connection) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    while connection.read(stream, &mut bytes).await? > 0 {
        stream.write_all(&take(&mut bytes)).await?;
    }
    Ok(())
}

async fn ticker(cx: Context) -> std::result::Result<(), Infallible> {
    while cx.shutdown().race(cx.sleep(Duration::from_secs(1))).await.is_some() {
        log::info!("tick");
    }
    Ok(())
}

fn main() -> ExitCode {
    let [http, grpc, tcp] = common::addresses([
        ("--http", "[::]:8080"),
        ("--grpc", "[::]:50051"),
        ("--tcp", "[::]:9000"),
    ]);
    adieu::exit(async {
        let signals = adieu::signals()?;
        let http = Http::bind(&http, hello)?;
        let grpc = Grpc::new().service(EchoServer::new(Echo)).bind(&grpc)?;
        let tcp = Tcp::bind(&tcp, echo)?;
        log::info!("http listening on {}", http.listener().address());
        log::info!("grpc listening on {}", grpc.listener().address());
        log::info!("tcp listening on {}", tcp.listener().address());
        let supervisor = Supervisor::new()
            .service("http", http)
            .service("grpc", grpc)
            .service("tcp", tcp)
            .service("ticker", ticker)
            .grace(Duration::from_secs(10));
        Ok(supervisor.run(signals).await?)
    })
}
