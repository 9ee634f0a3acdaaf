use std::process::ExitCode;

use adieu::http::http_types::{Request, Response, Result};
use adieu::{Http, Supervisor};

/// Answers `/big` with one large piece, everything else with a greeting.
async fn hello(request: Request) -> Result<Response> {
    Ok(match request.url().path() {
        "/big" => vec![b'x'; rivals::BIG].as_slice().into(),
        _ => "Hello from server1".into(),
    })
}

fn main() -> ExitCode {
    rivals::log();
    adieu::exit(async {
        let server = Http::bind(&rivals::address(), hello)?;
        Ok(Supervisor::new().service("server1", server).run(adieu::signals()?).await?)
    })
}
