//! The binary's flags.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use adieu::TrustedPeers;
use lexopt::prelude::*;

use crate::lines::Format;
use crate::picture::Picture;

const HELP: &str = "\
Serves hello on several ports, and sees every connection out when it is asked to end.

Usage: adieu [OPTIONS]

Options:
  --listen NAME=ADDR  a server to start; may be repeated, and replaces the default pair
                      server1=[::]:8080 server2=[::]:8081 ([::] is all interfaces)
  --admin ADDR        where to answer /livez, /readyz, /metrics and a page at /; closes last
  --admin-drain       let POST /drain on the admin server begin the shutdown
  --proxy-protocol TRUSTED
                      take each client's address from the PROXY header (v1 or v2) of a balancer in
                      front of all servers but --admin; only peers in TRUSTED may connect: networks
                      such as 10.0.0.0/8,::1 or unix, for Unix sockets; may be repeated
  --reuse-port        share the ports with a successor that starts before this process ends
  --grace DURATION    how long the shutdown may take before it cuts off [default: 10s]
  --lame-duck DURATION
                      how long to go on accepting before the shutdown, not ready and with
                      Connection: close, for load balancers; part of --grace [default: 0s]
  --exit-idle DURATION
                      shut down when nobody has been connected for so long (at least 100ms), for a
                      parent that starts the program when somebody comes [default: never]
  --delay DURATION    how long every answer takes, to watch a drain with [default: 0s]
  --timeline FILE     draw the shutdown, as SVG; FILE is emptied at the start, and written when
                      all is over
  --log-format FORMAT plain, time (in UTC, before each line) or json (one object a line, with the
                      line's fields) [default: plain on a terminal and in the journal, else time]
  --help              print this
  --version           print the version

A socket that systemd hands over (LISTEN_FDS) goes to the server of its name.
A DURATION is written 500ms, 10s or 1m. RUST_LOG sets what is logged [default: info];
RUST_LOG=info,adieu::access=debug logs every request as well.

What a shutdown does:
  1. /readyz says 503. For as long as --lame-duck says, new clients are still served.
  2. Ports close, and so do idle connections; a request that has arrived is answered.
  3. Requests in flight finish. Each second the log names those that are waited for.
  4. When all are done, it says a graceful bye and exits with 0.
  5. After --grace, what is left is cut off and named, and it exits with 124.

SIGINT (Ctrl-C), SIGTERM and SIGHUP (unless started to ignore it) begin the shutdown;
SIGQUIT shuts down without waiting; a second signal ends it at once.
Exit status: 0 a graceful bye, 1 a server failed or could not start, 2 bad usage,
124 the grace period ended first, 128+n aborted by signal n.
";

/// The name of the admin server.
pub const ADMIN: &str = "admin";

/// What the arguments ask for.
pub enum Parsed {
    Serve(Options),
    Print(String),
}

pub struct Options {
    pub listen: Vec<Listen>,
    pub is_default_pair: bool,
    pub admin: Option<String>,
    pub admin_drain: bool,
    pub proxy_protocol: Option<TrustedPeers>,
    pub reuse_port: bool,
    pub grace: Duration,
    pub lame_duck: Duration,
    pub exit_idle: Option<Duration>,
    pub delay: Duration,
    pub timeline: Option<Picture>,
    pub log_format: Format,
}

pub struct Listen {
    pub name: String,
    pub address: String,
}

/// Parses the arguments, the program's name first. An error is one line for a person.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed, String> {
    let mut parser = lexopt::Parser::from_iter(arguments);
    let mut listen = Vec::new();
    let mut admin = None;
    let mut admin_drain = false;
    let mut trusted = Vec::new();
    let mut reuse_port = false;
    let mut grace = adieu::GRACE;
    let mut lame_duck = Duration::ZERO;
    let mut exit_idle = None;
    let mut delay = Duration::ZERO;
    let mut timeline: Option<PathBuf> = None;
    let mut log_format = None;
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Long("listen") => listen.push(server(&value(&mut parser, "--listen")?, &listen)?),
            Long("admin") => admin = Some(value(&mut parser, "--admin")?),
            Long("admin-drain") => admin_drain = true,
            Long("proxy-protocol") => trusted.push(value(&mut parser, "--proxy-protocol")?),
            Long("reuse-port") => reuse_port = true,
            Long("grace") => grace = duration(&value(&mut parser, "--grace")?, "--grace")?,
            Long("lame-duck") => {
                lame_duck = duration(&value(&mut parser, "--lame-duck")?, "--lame-duck")?
            }
            Long("exit-idle") => {
                exit_idle = Some(duration(&value(&mut parser, "--exit-idle")?, "--exit-idle")?)
            }
            Long("delay") => delay = duration(&value(&mut parser, "--delay")?, "--delay")?,
            Long("log-format") => log_format = Some(format(&value(&mut parser, "--log-format")?)?),
            Long("timeline") => timeline = Some(value(&mut parser, "--timeline")?.into()),
            Short('h') | Long("help") => return Ok(Parsed::Print(HELP.to_owned())),
            Short('V') | Long("version") => {
                return Ok(Parsed::Print(format!("adieu {}\n", env!("CARGO_PKG_VERSION"))));
            }
            other => return Err(other.unexpected().to_string()),
        }
    }
    if !lame_duck.is_zero() && lame_duck >= grace {
        return Err("--lame-duck: it must be shorter than --grace, which includes it".to_owned());
    }
    if admin_drain && admin.is_none() {
        return Err("--admin-drain: there is no --admin".to_owned());
    }
    if admin.is_some() && listen.iter().any(|listen: &Listen| listen.name == ADMIN) {
        return Err(format!("--listen: {ADMIN:?} is the server of --admin"));
    }
    let is_default_pair = listen.is_empty();
    if is_default_pair {
        for (name, address) in [("server1", "[::]:8080"), ("server2", "[::]:8081")] {
            listen.push(Listen { name: name.to_owned(), address: address.to_owned() });
        }
    }
    Ok(Parsed::Serve(Options {
        listen,
        is_default_pair,
        admin,
        admin_drain,
        proxy_protocol: trusted_peers(&trusted)?,
        reuse_port,
        grace,
        lame_duck,
        exit_idle,
        delay,
        log_format: log_format.unwrap_or_else(Format::where_lines_go),
        // Last, since it empties a file: nothing else may be wrong.
        timeline: timeline.map(Picture::begin).transpose()?,
    }))
}

fn value(parser: &mut lexopt::Parser, flag: &str) -> Result<String, String> {
    let value = parser.value().map_err(|_| format!("{flag} needs a value"))?;
    value.into_string().map_err(|value| format!("{flag}: {value:?} is not UTF-8"))
}

fn server(value: &str, earlier: &[Listen]) -> Result<Listen, String> {
    let (name, address) = match value.split_once('=') {
        Some((name, address)) if !name.is_empty() && !address.is_empty() => (name, address),
        _ => return Err(format!("--listen: {value:?} is not NAME=ADDR, such as api=[::]:8080")),
    };
    if earlier.iter().any(|other| other.name == name) {
        return Err(format!("--listen: there are two servers named {name:?}"));
    }
    Ok(Listen { name: name.to_owned(), address: address.to_owned() })
}

fn trusted_peers(networks: &[String]) -> Result<Option<TrustedPeers>, String> {
    let all = (!networks.is_empty()).then(|| networks.join(",").parse());
    all.transpose().map_err(|error: adieu::Error| format!("--proxy-protocol: {error}"))
}

fn format(value: &str) -> Result<Format, String> {
    match value {
        "plain" => Ok(Format::Plain),
        "time" => Ok(Format::Time),
        "json" => Ok(Format::Json),
        _ => Err(format!("--log-format: {value:?} is not plain, time or json")),
    }
}

/// A whole number and a unit: `500ms`, `10s`, `1m`.
fn duration(value: &str, flag: &str) -> Result<Duration, String> {
    let wrong = || format!("{flag}: {value:?} is not a duration, such as 500ms, 10s or 1m");
    let digits = value.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = value.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60 * 1000),
        _ => None,
    };
    millis.map(Duration::from_millis).ok_or_else(wrong)
}
