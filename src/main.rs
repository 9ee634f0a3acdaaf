//! The binary: servers that say hello, and a bye that tells the truth.

#![deny(clippy::unwrap_used)]

mod options;

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use adieu::http::http_types::{Request, Response, Result};
use adieu::http::{Exchange, Http};
use adieu::{Admin, Error, Listener, Report, Server, SocketListener, Supervisor};
use log::{error, info};

use options::{ADMIN, Listen, Options, Parsed};

fn main() -> ExitCode {
    match options::parse(std::env::args_os()) {
        Ok(Parsed::Serve(options)) => {
            let level = env_logger::Env::default().default_filter_or("info");
            env_logger::Builder::from_env(level).init();
            adieu::exit(serve(options))
        }
        Ok(Parsed::Print(text)) => {
            // A reader that has gone, as in `adieu --help | head -1`, is no failure.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(message) => {
            let _ = writeln!(io::stderr(), "error: {message} (see adieu --help)");
            ExitCode::from(2)
        }
    }
}

async fn serve(options: Options) -> std::result::Result<Report, Error> {
    let signals = adieu::signals()?;
    let mut servers = Vec::new();
    for Listen { name, address } in &options.listen {
        let server = bind(name, address, options.delay).map_err(|error| error.in_service(name))?;
        servers.push((name, server));
    }
    let admin = options.admin.as_deref().map(Admin::bind).transpose();
    let admin = admin.map_err(|error| error.in_service(ADMIN))?;
    let mut supervisor = Supervisor::new().grace(options.grace).lame_duck(options.lame_duck);
    for (number, (name, server)) in servers.into_iter().enumerate() {
        match (options.is_default_pair, server.listener().port()) {
            (true, Some(port)) => info!("server {} listening on port {port}", number + 1),
            _ => info!("{name} listening on {}", server.listener().address()),
        }
        supervisor = supervisor.service(name, server);
    }
    if let Some(admin) = admin {
        info!("{ADMIN} listening on {}", admin.listener().address());
        supervisor = supervisor.admin(ADMIN, admin);
    }
    let report = supervisor.run(signals).await;
    if let Some(file) = &options.timeline {
        if let Err(error) = fs::write(file, report.timeline()) {
            error!("cannot write {}: {error}", file.display());
        }
    }
    Ok(report)
}

/// A server that answers every path and method with its name, after `delay`.
fn bind(
    name: &str,
    address: &str,
    delay: Duration,
) -> std::result::Result<Server<SocketListener, Http>, Error> {
    let hello = format!("Hello from {name}");
    Http::bind(address, move |_request: Request, exchange: Exchange| {
        let hello = hello.clone();
        async move {
            if !delay.is_zero() {
                exchange.sleep(delay).await;
            }
            Result::<Response>::Ok(hello.into())
        }
    })
}
