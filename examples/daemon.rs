//! A daemon with a database: it is not ready while that is away, reloads on SIGHUP, and tells systemd
//! (`Type=notify-reload`).
//!
//! `cargo run --example daemon -- --database unix:/tmp/database.sock`, and in another terminal
//! `curl -i 127.0.0.1:9000/readyz`, `nc -lkU /tmp/database.sock`, `kill -HUP`.

mod common;

use std::process::ExitCode;
use std::time::Duration;

use adieu::http::http_types::{Request, Response, Result};
use adieu::{Admin, Context, Hangup, Http, Listener, Supervisor};
use futures_lite::StreamExt;
use smol::net::unix::UnixStream;

async fn hello(_request: Request) -> Result<Response> {
    Ok("hello".into())
}

/// Holds readiness back while nobody listens on the database's socket.
async fn database(cx: Context, address: String) -> std::io::Result<()> {
    let path = address.trim_start_matches("unix:");
    let mut away = Some(cx.not_ready("connecting"));
    while cx.shutdown().race(cx.sleep(Duration::from_millis(100))).await.is_some() {
        match UnixStream::connect(path).await {
            Ok(_connected) => away = None,
            Err(error) => {
                away.get_or_insert_with(|| cx.not_ready(error.to_string()));
            }
        }
    }
    Ok(())
}

/// Would read the settings again.
async fn settings(cx: Context) -> std::io::Result<()> {
    let mut reloads = cx.reloads();
    while reloads.next().await.is_some() {
        cx.sleep(Duration::from_millis(200)).await;
        log::info!("the settings are as they were");
    }
    Ok(())
}

fn main() -> ExitCode {
    let [address, admin, peer] = common::addresses([
        ("--listen", "127.0.0.1:8080"),
        ("--admin", "127.0.0.1:9000"),
        ("--database", "unix:/run/database.sock"),
    ]);
    adieu::exit(async move {
        let signals = adieu::signals()?.hangup(Hangup::Reload);
        let web = Http::bind(&address, hello)?;
        let admin = Admin::bind(&admin)?;
        log::info!("web listening on {}", web.listener().address());
        log::info!("admin listening on {}", admin.listener().address());
        let mut supervisor = Supervisor::new()
            .service("web", web)
            .service("database", |cx| database(cx, peer))
            .service("settings", settings)
            .next_stage()
            .service("admin", admin);
        if let Some(notifier) = adieu::systemd::notifier() {
            supervisor = supervisor.service("systemd", notifier);
        }
        Ok(supervisor.run(signals).await?)
    })
}
