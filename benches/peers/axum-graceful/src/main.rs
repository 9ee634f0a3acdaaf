//! Axum on one thread with its graceful shutdown, as its documentation shows it: it has no deadline.

use axum::routing::any;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let options = options::parse();
    let mut servers = JoinSet::new();
    for (name, address) in options.listen {
        let listener = TcpListener::bind(address).await?.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let hello = move || {
            let hello = format!("Hello from {name}");
            async move {
                if !options.delay.is_zero() {
                    tokio::time::sleep(options.delay).await;
                }
                hello
            }
        };
        let app = axum::Router::new().route("/", any(hello));
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let signalled = async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        servers.spawn(axum::serve(listener, app).with_graceful_shutdown(signalled).into_future());
    }
    servers.join_all().await;
    eprintln!("a graceful bye");
    Ok(())
}
