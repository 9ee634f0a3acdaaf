//! Smol on one thread with hyper, and hyper-util's graceful shutdown, which works with any runtime.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use async_signal::{Signal, Signals};
use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::server::graceful::GracefulShutdown;
use smol::channel::Receiver;
use smol::net::TcpListener;
use smol::prelude::*;
use smol::{LocalExecutor, Timer};
use smol_hyper::rt::{FuturesIo, SmolTimer};

fn main() -> std::io::Result<()> {
    let executor = Rc::new(LocalExecutor::new());
    smol::block_on(executor.run(run(executor.clone())))
}

async fn run(executor: Rc<LocalExecutor<'static>>) -> std::io::Result<()> {
    let options = options::parse();
    let mut signals = Signals::new([Signal::Int, Signal::Term])?;
    let (shutdown, told) = smol::channel::bounded::<()>(1);
    let mut servers = Vec::new();
    for (name, address) in options.listen {
        let listener = TcpListener::bind(address).await?;
        let server = serve(executor.clone(), listener, name.into(), options.delay, told.clone());
        servers.push(executor.spawn(server));
    }
    signals.next().await;
    drop(shutdown);
    let drain = async {
        for server in servers {
            server.await;
        }
        "a graceful bye"
    };
    let too_late = async {
        Timer::after(options::GRACE).await;
        "the grace period is over"
    };
    eprintln!("{}", drain.or(too_late).await);
    Ok(())
}

async fn serve(
    executor: Rc<LocalExecutor<'static>>,
    listener: TcpListener,
    name: Rc<str>,
    delay: Duration,
    told: Receiver<()>,
) {
    let graceful = GracefulShutdown::new();
    let closed = async || {
        let _ = told.recv().await;
        None
    };
    while let Some(accepted) = closed().or(async { Some(listener.accept().await) }).await {
        let Ok((stream, _)) = accepted else {
            Timer::after(Duration::from_secs(1)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let name = name.clone();
        let hello = service_fn(move |_: Request<Incoming>| {
            let body = Full::new(Bytes::from(format!("Hello from {name}")));
            async move {
                if !delay.is_zero() {
                    Timer::after(delay).await;
                }
                Ok::<_, Infallible>(Response::new(body))
            }
        });
        let connection = http1::Builder::new()
            .timer(SmolTimer::new())
            .pipeline_flush(true)
            .serve_connection(FuturesIo::new(stream), hello);
        let connection = graceful.watch(connection);
        executor
            .spawn(async move {
                let _ = connection.await;
            })
            .detach();
    }
    drop(listener);
    graceful.shutdown().await;
}
