use std::process::ExitCode;

use adieu::{Grpc, Supervisor};
use rivals::proto::{Echo, EchoServer};

fn main() -> ExitCode {
    adieu::exit(async {
        let server = Grpc::new().service(EchoServer::new(Echo)).bind(&rivals::address())?;
        Ok(Supervisor::new().service("grpc", server).run(adieu::signals()?).await)
    })
}
