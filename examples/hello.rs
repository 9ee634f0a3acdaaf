//! Two servers, one thread, one graceful bye.

use std::{process::ExitCode, time::Duration};

use adieu::http::http_types::{Request, Response, Result};
use adieu::{Http, Supervisor};

async fn api(request: Request) -> Result<Response> {
    Ok(format!("You asked for {}\n", request.url().path()).into())
}

fn main() -> ExitCode {
    env_logger::init();
    adieu::exit(async {
        let supervisor = Supervisor::new()
            .service("api", Http::bind("[::]:8080", api)?)
            .service(
                "status",
                Http::bind("127.0.0.1:8081", |_: Request| async { Ok("up\n".into()) })?,
            )
            .grace(Duration::from_secs(10));
        Ok(supervisor.run(adieu::signals()?).await?)
    })
}
