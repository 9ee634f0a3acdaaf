//! The binary: servers that say hello, and a bye that tells the truth.

#![deny(clippy::unwrap_used)]

mod json;
mod lines;
mod options;
mod picture;
mod sockets;
mod time;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use adieu::http::http_types::{Request, Response, Result};
use adieu::http::{Exchange, Handler, Http};
use adieu::{Admin, BoxError, Listener, ProxyProtocol, Report, Server, Supervisor};
use log::{error, info};

use options::{ADMIN, Listen, Options, Parsed};
use sockets::Sockets;

fn main() -> ExitCode {
    match options::parse(std::env::args_os()) {
        Ok(Parsed::Serve(options)) => {
            lines::begin(options.log_format);
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

async fn serve(options: Options) -> std::result::Result<Report, BoxError> {
    let names = options.listen.iter().map(|listen| listen.name.as_str());
    let names: Vec<_> = names.chain(options.admin.is_some().then_some(ADMIN)).collect();
    let mut sockets = Sockets::new(&names, options.reuse_port)?;
    let signals = adieu::signals()?;
    let mut listeners = Vec::new();
    for Listen { name, address } in &options.listen {
        listeners.push((name, sockets.listener(name, address)?));
    }
    let admin = options.admin.as_deref().map(|address| sockets.listener(ADMIN, address));
    let admin = admin.transpose()?.map(Admin::new);
    let admin = admin.map(|admin| {
        admin.program("adieu", env!("CARGO_PKG_VERSION")).allow_drain(options.admin_drain)
    });
    let mut supervisor = Supervisor::new().grace(options.grace).lame_duck(options.lame_duck);
    if let Some(time) = options.exit_idle {
        supervisor = supervisor.exit_when_idle(time);
    }
    for (number, (name, listener)) in listeners.into_iter().enumerate() {
        match (options.is_default_pair, listener.port()) {
            (true, Some(port)) => {
                info!(service = name.as_str(), port; "server {} listening on port {port}", number + 1)
            }
            _ => {
                let address = listener.address();
                info!(service = name.as_str(), address; "{name} listening on {address}")
            }
        }
        let http = Http::new(hello(name, options.delay));
        supervisor = match options.proxy_protocol.clone() {
            None => supervisor.service(name, Server::new(listener, http)),
            Some(trusted) => {
                let protocol = ProxyProtocol::new(trusted, http);
                supervisor.service(name, Server::new(listener, protocol))
            }
        };
    }
    // What tells of the others is told last.
    supervisor = supervisor.next_stage();
    if let Some(admin) = admin {
        let address = admin.listener().address();
        info!(service = ADMIN, address; "{ADMIN} listening on {address}");
        supervisor = supervisor.service(ADMIN, admin);
    }
    if let Some(notifier) = adieu::systemd::notifier() {
        supervisor = supervisor.service("systemd", notifier);
    }
    let report = supervisor.run(signals).await?;
    if let Some(picture) = options.timeline {
        picture.finish(&report.timeline()).unwrap_or_else(|error| error!("{error}"));
    }
    Ok(report)
}

/// A handler that answers every path and method with the server's name, after `delay`.
fn hello(name: &str, delay: Duration) -> impl Handler<(Request, Exchange)> {
    let hello = format!("Hello from {name}");
    move |_request: Request, exchange: Exchange| {
        let hello = hello.clone();
        async move {
            if !delay.is_zero() {
                exchange.sleep(delay).await;
            }
            Result::<Response>::Ok(hello.into())
        }
    }
}
