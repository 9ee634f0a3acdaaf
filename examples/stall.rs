//! What the second signal and the watchdog are for: `cargo run --example stall -- 127.0.0.1:8080`.
//!
//! `/block` blocks the one thread for thirty seconds, as no handler should; `/never` never answers,
//! but lets the others live; everything else is answered at once. The grace period is one second.

use std::process::ExitCode;
use std::time::Duration;

use adieu::http::Http;
use adieu::http::http_types::{Request, Response, Result};
use adieu::{Supervisor, TcpListener};

async fn stall(request: Request) -> Result<Response> {
    match request.url().path() {
        "/block" => {
            eprintln!("blocking");
            std::thread::sleep(Duration::from_secs(30));
        }
        "/never" => std::future::pending().await,
        _ => {}
    }
    Ok("well\n".into())
}

fn main() -> ExitCode {
    env_logger::init();
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    adieu::exit(async {
        let signals = adieu::signals()?;
        let listener = TcpListener::bind(&address)?;
        eprintln!("stall listening on {}", listener.local_addr());
        let server = adieu::Server::new(listener, Http::new(stall));
        let supervisor = Supervisor::new().grace(Duration::from_secs(1)).service("stall", server);
        Ok(supervisor.run(signals).await?)
    })
}
