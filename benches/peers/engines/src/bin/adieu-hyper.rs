use std::process::ExitCode;

use adieu::{Hyper, Supervisor};
use hyper::service::service_fn;

fn main() -> ExitCode {
    engines::log();
    adieu::exit(async {
        let server = Hyper::bind(&engines::address(), service_fn(engines::hello))?;
        Ok(Supervisor::new().service("server1", server).run(adieu::signals()?).await?)
    })
}
