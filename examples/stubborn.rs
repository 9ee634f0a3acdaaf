//! A server whose handler never answers, that minds no second signal and has exit codes of its own.
//!
//! `cargo run --example stubborn [ADDRESS]`

use std::future::pending;
use std::process::ExitCode;
use std::time::Duration;

use adieu::http::http_types::{Request, Response, Result};
use adieu::{ExitCodes, Http, Supervisor};

async fn never(_request: Request) -> Result<Response> {
    log::info!("asked");
    pending().await
}

fn main() -> ExitCode {
    env_logger::Builder::new().filter_level(log::LevelFilter::Info).init();
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let codes = ExitCodes { cut_off: 74, aborted: Some(75), ..ExitCodes::default() };
    adieu::exit(async {
        let signals = adieu::signals()?;
        let server = Http::bind(&address, never)?;
        if let Some(address) = server.listener().local_addr() {
            log::info!("listening on {address}");
        }
        let supervisor = Supervisor::new()
            .service("web", server)
            .grace(Duration::from_secs(1))
            .second_signal_aborts(false)
            .exit_codes(codes);
        Ok(supervisor.run(signals).await?)
    })
}
