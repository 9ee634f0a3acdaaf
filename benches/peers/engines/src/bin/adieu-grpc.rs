use std::process::ExitCode;
use std::time::Duration;

use adieu::{Grpc, Supervisor};
use engines::proto::{Echo, EchoServer};

/// A second argument is the grace period, in milliseconds.
fn main() -> ExitCode {
    let grace = std::env::args().nth(2).map(|it| it.parse().expect("a number of milliseconds"));
    engines::log();
    adieu::exit(async {
        let server = Grpc::new().service(EchoServer::new(Echo)).bind(&engines::address())?;
        let supervisor = Supervisor::new().service("grpc", server);
        let supervisor = supervisor.grace(Duration::from_millis(grace.unwrap_or(10_000)));
        Ok(supervisor.run(adieu::signals()?).await?)
    })
}
