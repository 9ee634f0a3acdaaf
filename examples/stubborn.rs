//! A server whose handler never answers, that minds no second signal and has exit codes of its own.
//!
//! `cargo run --example stubborn`

mod common;

use std::future::pending;
use std::process::ExitCode;
use std::time::Duration;

use adieu::http::http_types::{Request, Response, Result};
use adieu::{ExitCodes, Http, Listener, Supervisor};

async fn never(_request: Request) -> Result<Response> {
    log::info!("asked");
    pending().await
}

fn main() -> ExitCode {
    let [address] = common::addresses([("--listen", "127.0.0.1:8080")]);
    let codes = ExitCodes { cut_off: 74, aborted: Some(75), ..ExitCodes::default() };
    adieu::exit(async {
        let signals = adieu::signals()?;
        let server = Http::bind(&address, never)?;
        log::info!("stubborn listening on {}", server.listener().address());
        let supervisor = Supervisor::new()
            .service("web", server)
            .grace(Duration::from_secs(1))
            .second_signal_aborts(false)
            .exit_codes(codes);
        Ok(supervisor.run(signals).await?)
    })
}
