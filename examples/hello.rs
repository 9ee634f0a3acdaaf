//! Two servers, one thread, one graceful bye.

use std::{process::ExitCode, time::Duration};

use adieu::http::http_types::{Request, Response, Result};
use adieu::{Http, Listener, Supervisor};

async fn api(request: Request) -> Result<Response> {
    Ok(format!("You asked for {}\n", request.url().path()).into())
}

async fn status(_request: Request) -> Result<Response> {
    Ok("up\n".into())
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    adieu::exit(async {
        let signals = adieu::signals()?;
        let api = Http::bind("[::]:8080", api)?;
        let status = Http::bind("127.0.0.1:8081", status)?;
        log::info!("api listening on {}", api.listener().address());
        log::info!("status listening on {}", status.listener().address());
        let supervisor = Supervisor::new()
            .service("api", api)
            .service("status", status)
            .grace(Duration::from_secs(10));
        Ok(supervisor.run(signals).await?)
    })
}
