//! What the second signal and the watchdog are for: `cargo run --example stall`.
//!
//! `/block` blocks the one thread for thirty seconds, as no handler should; `/unblock` does that on
//! another thread, and `/never` never answers: these two let the others live. Everything else is answered at
//! once. The grace period is one second.

mod common;

use std::process::ExitCode;
use std::time::Duration;

use adieu::http::Exchange;
use adieu::http::http_types::{Request, Response, Result};
use adieu::{Http, Listener, Supervisor};

fn block() {
    std::thread::sleep(Duration::from_secs(30));
}

async fn stall(request: Request, exchange: Exchange) -> Result<Response> {
    match request.url().path() {
        "/block" => {
            log::info!("blocking");
            block();
        }
        "/unblock" => exchange.unblock(block).await,
        "/never" => std::future::pending().await,
        _ => {}
    }
    Ok("well\n".into())
}

fn main() -> ExitCode {
    let [address] = common::addresses([("--listen", "127.0.0.1:8080")]);
    adieu::exit(async {
        let signals = adieu::signals()?;
        let server = Http::bind(&address, stall)?;
        log::info!("stall listening on {}", server.listener().address());
        let supervisor = Supervisor::new().grace(Duration::from_secs(1)).service("stall", server);
        Ok(supervisor.run(signals).await?)
    })
}
