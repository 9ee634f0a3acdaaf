use std::process::ExitCode;

use adieu::{Hyper, Supervisor};
use hyper::service::service_fn;

fn main() -> ExitCode {
    rivals::log();
    adieu::exit(async {
        let server = Hyper::bind(&rivals::address(), service_fn(rivals::hello))?;
        Ok(Supervisor::new().service("server1", server).run(adieu::signals()?).await?)
    })
}
