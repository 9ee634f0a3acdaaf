//! The binary: servers that say hello, and a bye that tells the truth.

#![deny(clippy::unwrap_used)]

mod options;

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use adieu::http::http_types::{Request, Response, Result};
use adieu::http::{Exchange, Handler, Http};
use adieu::{Admin, BoxError, Error, Listener, Report, Server, SocketListener, Supervisor};
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

async fn serve(options: Options) -> std::result::Result<Report, BoxError> {
    let mut sockets = Sockets { handed_over: handed_over()?, shared: options.reuse_port };
    let signals = adieu::signals()?;
    let mut servers = Vec::new();
    for Listen { name, address } in &options.listen {
        let http = Http::new(hello(name, options.delay));
        servers.push((name, Server::new(sockets.listener(name, address)?, http)));
    }
    let admin = options.admin.as_deref().map(|address| sockets.listener(ADMIN, address));
    let admin = admin.transpose()?.map(Admin::new);
    sockets.check_all_taken()?;
    let mut supervisor = Supervisor::new().grace(options.grace).lame_duck(options.lame_duck);
    for (number, (name, server)) in servers.into_iter().enumerate() {
        match (options.is_default_pair, server.listener().port()) {
            (true, Some(port)) => info!("server {} listening on port {port}", number + 1),
            _ => info!("{name} listening on {}", server.listener().address()),
        }
        supervisor = supervisor.service(name, server);
    }
    // What tells of the others is told last.
    supervisor = supervisor.next_stage();
    if let Some(admin) = admin {
        info!("{ADMIN} listening on {}", admin.listener().address());
        supervisor = supervisor.service(ADMIN, admin);
    }
    #[cfg(feature = "systemd")]
    if let Some(notifier) = adieu::systemd::notifier() {
        supervisor = supervisor.service("systemd", notifier);
    }
    let report = supervisor.run(signals).await?;
    if let Some(file) = &options.timeline {
        if let Err(error) = fs::write(file, report.timeline()) {
            error!("cannot write {}: {error}", file.display());
        }
    }
    Ok(report)
}

#[cfg(feature = "systemd")]
fn handed_over() -> std::result::Result<Vec<(String, SocketListener)>, Error> {
    adieu::systemd::sockets()
}

#[cfg(not(feature = "systemd"))]
fn handed_over() -> std::result::Result<Vec<(String, SocketListener)>, Error> {
    Ok(Vec::new())
}

/// Where listeners come from.
struct Sockets {
    handed_over: Vec<(String, SocketListener)>,
    shared: bool,
}

impl Sockets {
    /// The socket that was handed over under this name, or else one that is bound here.
    fn listener(
        &mut self,
        name: &str,
        address: &str,
    ) -> std::result::Result<SocketListener, Error> {
        if let Some(at) = self.handed_over.iter().position(|(handed, _)| handed == name) {
            return Ok(self.handed_over.swap_remove(at).1);
        }
        let bind = if self.shared { SocketListener::bind_shared } else { SocketListener::bind };
        bind(address).map_err(|error| error.in_service(name))
    }

    fn check_all_taken(self) -> std::result::Result<(), Error> {
        match self.handed_over.into_iter().next() {
            Some((name, _)) => {
                let source = io::Error::other("there is no server of this name");
                Err(Error::HandedOver { name, source })
            }
            None => Ok(()),
        }
    }
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
