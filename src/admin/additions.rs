//! What a program adds to its admin server: its name, counters and paths of its own.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use http_types::{Request, Response, Url};

use super::process;
use crate::error::Error;
use crate::http::{Exchange, Handler};
use crate::web::check_bytes;

/// The server's own paths.
const OWN: [&str; 5] = ["/", "/drain", "/livez", "/metrics", "/readyz"];

type Answer = Pin<Box<dyn Future<Output = http_types::Result<Response>>>>;
pub(super) type Route = Box<dyn Fn(Request, Exchange) -> Answer>;
type Append = Box<dyn Fn(&mut String)>;

/// Empty at first.
#[derive(Default)]
pub(super) struct Additions {
    program: Option<String>,
    metrics: Vec<Append>,
    routes: Vec<(String, Route)>,
    pub(super) allows_drain: bool,
}

impl Additions {
    pub(super) fn set_program(&mut self, name: &str, version: &str) {
        self.program = Some(format!("{name} {version}").trim().to_owned());
    }

    /// The program and its version, as far as they are known.
    pub(super) fn program(&self) -> String {
        self.program.clone().or_else(process::program).unwrap_or_default()
    }

    pub(super) fn add_metrics(&mut self, append: impl Fn(&mut String) + 'static) {
        self.metrics.push(Box::new(append));
    }

    /// Appends what the program counts; each addition ends with its line.
    pub(super) fn append_metrics(&self, text: &mut String) {
        for append in &self.metrics {
            append(text);
            if !text.ends_with('\n') {
                text.push('\n');
            }
        }
    }

    pub(super) fn add_route<Arguments>(
        &mut self,
        path: &str,
        handler: impl Handler<Arguments>,
    ) -> Result<(), Error> {
        let why = if !can_be_asked_for(path) {
            "it is not a path as a request has it, such as /flags"
        } else if OWN.contains(&path) {
            "the admin server answers there itself"
        } else if self.route(path).is_some() {
            "there is one already"
        } else {
            let handler =
                move |request, exchange| -> Answer { Box::pin(handler.handle(request, exchange)) };
            self.routes.push((path.to_owned(), Box::new(handler)));
            return Ok(());
        };
        Err(Error::Route { path: path.to_owned(), why })
    }

    /// The program's own handler for this path, if there is one.
    pub(super) fn route(&self, path: &str) -> Option<&Route> {
        self.routes.iter().find(|(own, _)| own == path).map(|(_, handler)| handler)
    }

    /// Every path there is, for who has asked for another one.
    pub(super) fn paths(&self) -> String {
        let own = OWN.into_iter().filter(|path| *path != "/drain" || self.allows_drain);
        let routes = self.routes.iter().map(|(path, _)| path.as_str());
        let all: Vec<_> = own.chain(routes).collect();
        all.join(", ")
    }
}

/// Whether the URL of some request has this path: a handler elsewhere would wait for one in vain.
fn can_be_asked_for(path: &str) -> bool {
    check_bytes(path).is_ok()
        && Url::parse(&format!("http://admin{path}")).is_ok_and(|url| url.path() == path)
}

impl fmt::Debug for Additions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Additions")
            .field("program", &self.program)
            .field("paths", &self.paths())
            .field("allows_drain", &self.allows_drain)
            .finish_non_exhaustive()
    }
}
