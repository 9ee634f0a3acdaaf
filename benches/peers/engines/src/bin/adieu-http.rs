use std::process::ExitCode;

use adieu::http::http_types::{Request, Response, Result};
use adieu::{Http, Supervisor};

/// Answers `/big` with one large piece, everything else with a greeting.
async fn hello(request: Request) -> Result<Response> {
    Ok(match request.url().path() {
        "/big" => vec![b'x'; engines::BIG].as_slice().into(),
        _ => "Hello from server1".into(),
    })
}

fn main() -> ExitCode {
    engines::log();
    adieu::exit(async {
        let server = Http::bind(&engines::address(), hello)?;
        Ok(Supervisor::new().service("server1", server).run(adieu::signals()?).await?)
    })
}
