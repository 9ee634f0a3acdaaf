//! The admin server: probes, metrics, and one page for people.
//!
//! | path | what it answers |
//! |---|---|
//! | `/livez` | 200, as long as the thread is not blocked |
//! | `/readyz` | 200 while the run is ready; else 503 and the reasons: who holds readiness back, or that it ends |
//! | `/metrics` | the Prometheus text format |
//! | `/` | one page: the program, services, connections by state, whom the drain waits for |
//! | `POST /drain` | begins the shutdown, if [allowed](Admin::allow_drain) |
//!
//! It shows client addresses and request lines to every client: bind it to a private address.

mod additions;
mod desk;
mod metrics;
mod page;
mod process;

use std::rc::Rc;
use std::time::SystemTime;

use http_types::Request;

use crate::error::{BoxError, Error};
use crate::http::{Exchange, Handler, Http};
use crate::net::{Listener, SocketListener};
use crate::server::Server;
use crate::service::{Context, Service};
use additions::Additions;
use desk::Desk;

/// A service that tells how the run is. Add it to the last [stage](crate::Supervisor::next_stage), so
/// that it is there until the others have drained.
///
/// ```no_run
/// use std::{cell::Cell, fmt::Write, rc::Rc};
///
/// use adieu::http::http_types::{Request, Response, Result};
/// use adieu::{Admin, Supervisor};
///
/// async fn flags(_request: Request) -> Result<Response> {
///     Ok("dark_mode\n".into())
/// }
///
/// let mails = Rc::new(Cell::new(0));
/// let sent = mails.clone(); // the mailer counts with the other one
/// let admin = Admin::bind("127.0.0.1:9000")?
///     .program(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
///     .metrics(move |out| {
///         let _ = writeln!(out, "# TYPE mails_sent_total counter\nmails_sent_total {}", sent.get());
///     })
///     .route("/flags", flags)?;
/// let supervisor = Supervisor::new().next_stage().service("admin", admin);
/// # Ok::<(), adieu::Error>(())
/// ```
#[derive(Debug)]
pub struct Admin<L> {
    listener: L,
    additions: Additions,
}

impl Admin<SocketListener> {
    /// Binds a TCP or Unix socket for it (see [`SocketListener::bind`]).
    pub fn bind(address: &str) -> Result<Admin<SocketListener>, Error> {
        Ok(Admin::new(SocketListener::bind(address)?))
    }
}

impl<L: Listener> Admin<L> {
    /// Serves on a bound listener.
    pub fn new(listener: L) -> Admin<L> {
        Admin { listener, additions: Additions::default() }
    }

    /// The listener.
    pub fn listener(&self) -> &L {
        &self.listener
    }

    /// Sets the program's name and version, which the page shows. Default: the name of the executable's
    /// file, where the system tells it, and no version.
    pub fn program(mut self, name: &str, version: &str) -> Admin<L> {
        self.additions.set_program(name, version);
        self
    }

    /// Appends to the text of `/metrics`, each time it is asked for. May be called more than once.
    ///
    /// `append` writes whole families in the Prometheus text format, under names that do not begin with
    /// `adieu_` or `process_`. The last line need not end with `\n`. If `append` panics, the answer is a 500.
    pub fn metrics(mut self, append: impl Fn(&mut String) + 'static) -> Admin<L> {
        self.additions.add_metrics(append);
        self
    }

    /// Has `handler` answer requests of every method for exactly this path.
    ///
    /// # Errors
    ///
    /// [`Error::Route`] if there is something at this path already, or if no request can have it: it must
    /// begin with `/`, hold no query, and be encoded as a URL's path is.
    pub fn route<Arguments>(
        mut self,
        path: &str,
        handler: impl Handler<Arguments>,
    ) -> Result<Admin<L>, Error> {
        self.additions.add_route(path, handler)?;
        Ok(self)
    }

    /// Sets whether `POST /drain` begins the shutdown, as [`Supervisor::trigger`](crate::Supervisor::trigger)
    /// does: for scripts and hooks. The answer is 202 at once. Default: no, and the answer is 403.
    ///
    /// Everybody who reaches the server may then end the process, except the pages that a browser there
    /// shows: a request with `Origin` is answered with 403.
    pub fn allow_drain(mut self, allow: bool) -> Admin<L> {
        self.additions.allows_drain = allow;
        self
    }
}

impl<L: Listener> Service for Admin<L> {
    async fn serve(self, cx: Context) -> Result<(), BoxError> {
        let status = cx.status().clone();
        let began =
            SystemTime::now().checked_sub(status.uptime()).unwrap_or(SystemTime::UNIX_EPOCH);
        let desk = Rc::new(Desk { status, began, additions: self.additions });
        let handler = move |request: Request, exchange: Exchange| {
            let desk = desk.clone();
            async move { desk.answer(request, exchange).await }
        };
        Server::new(self.listener, Http::new(handler)).serve(cx).await
    }
}
