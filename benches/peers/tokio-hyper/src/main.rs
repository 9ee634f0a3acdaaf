//! Tokio on one thread with hyper and hyper-util's graceful shutdown: the example of hyper-util, with two
//! servers instead of one.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let options = options::parse();
    let (shutdown, told) = watch::channel(());
    let mut servers = JoinSet::new();
    for (name, address) in options.listen {
        let listener = TcpListener::bind(address).await?;
        servers.spawn(serve(listener, name.into(), options.delay, told.clone()));
    }
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    drop(shutdown);
    let drained = tokio::time::timeout(options::GRACE, servers.join_all()).await;
    eprintln!("{}", if drained.is_ok() { "a graceful bye" } else { "the grace period is over" });
    Ok(())
}

async fn serve(
    listener: TcpListener,
    name: std::sync::Arc<str>,
    delay: Duration,
    mut told: watch::Receiver<()>,
) {
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = told.changed() => break,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let name = name.clone();
        let hello = service_fn(move |_: Request<Incoming>| {
            let body = Full::new(Bytes::from(format!("Hello from {name}")));
            async move {
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                Ok::<_, Infallible>(Response::new(body))
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .pipeline_flush(true)
            .serve_connection(TokioIo::new(stream), hello);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _ = connection.await;
        });
    }
    drop(listener);
    graceful.shutdown().await;
}
