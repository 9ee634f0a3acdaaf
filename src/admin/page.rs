//! The page: plain HTML that refreshes itself, in the light or the dark, on a phone or a wall.

use std::fmt::{self, Write};
use std::time::Duration;

use super::process;
use crate::shutdown::Phase;
use crate::slot::ServiceStatus;
use crate::status::Status;
use crate::words::Seconds;

/// How many stragglers are named.
const NAMED: usize = 50;

pub(super) fn render(status: &Status, program: &str) -> String {
    let mut html = String::with_capacity(8 * 1024);
    // Writing to a String cannot fail.
    let _ = write(&mut html, status, &Escaped(program));
    html
}

fn write(html: &mut String, status: &Status, program: &Escaped) -> fmt::Result {
    let phase = status.phase();
    // An end is worth watching closely.
    let refresh = if phase <= Phase::Serving { 5 } else { 1 };
    write!(
        html,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"refresh\" content=\"{refresh}\">\n<title>{program}: {phase}</title>\n\
         <style>\n{}</style>\n</head>\n<body>\n",
        include_str!("page.css")
    )?;
    header(html, status, program)?;
    html.push_str("<main>\n");
    if status.cause().is_some() {
        waiting(html, status)?;
    } else if !status.is_ready() {
        unready(html, status)?;
    }
    for service in status.services() {
        card(html, &service)?;
    }
    html.push_str("</main>\n<footer><a href=\"/metrics\">metrics</a></footer>\n</body>\n</html>\n");
    Ok(())
}

fn header(html: &mut String, status: &Status, program: &Escaped) -> fmt::Result {
    let phase = status.phase();
    let class = phase.to_string().replace(' ', "-");
    write!(
        html,
        "<header>\n<h1 class=\"{class}\">{phase}</h1>\n<p>{program}, up for {}",
        Time(status.uptime())
    )?;
    if let Some(bytes) = process::resident_memory() {
        write!(html, ", {} in memory", Bytes(bytes))?;
    }
    if let Some(count) = process::open_descriptors() {
        write!(html, ", {count} descriptors")?;
    }
    html.push_str("</p>\n</header>\n");
    Ok(())
}

/// Who holds readiness back.
fn unready(html: &mut String, status: &Status) -> fmt::Result {
    html.push_str("<section class=\"wide\">\n<h2>not ready</h2>\n<ul>\n");
    for held in status.not_ready() {
        writeln!(html, "<li>{}</li>", Escaped(&held.to_string()))?;
    }
    html.push_str("</ul>\n</section>\n");
    Ok(())
}

/// During the end: why, how long it may still take, and for whom it waits.
fn waiting(html: &mut String, status: &Status) -> fmt::Result {
    html.push_str("<section class=\"wide\">\n<h2>");
    if let Some(cause) = status.cause() {
        write!(html, "{} <span>began it", Escaped(&cause.to_string()))?;
    }
    match (status.time_left(), status.deadline()) {
        (Some(left), Some(_)) => writeln!(html, ", {} left</span></h2>", Seconds(left))?,
        _ => html.push_str(", and it may take for ever</span></h2>\n"),
    }
    if let (Some(left), Some(grace)) = (status.time_left(), status.grace()) {
        let (left, grace) = (left.as_millis(), grace.as_millis());
        writeln!(html, "<progress max=\"{grace}\" value=\"{left}\">{left} ms</progress>")?;
    }
    let (named, more) = status.stragglers(NAMED);
    html.push_str("<ul>\n");
    for straggler in &named {
        writeln!(html, "<li>{}</li>", Escaped(&straggler.to_string()))?;
    }
    match (named.is_empty(), more) {
        (true, _) if status.phase() == Phase::LameDuck => {
            html.push_str("<li>still accepting</li>\n")
        }
        (true, _) => html.push_str("<li>waiting for nobody</li>\n"),
        (false, 0) => {}
        (false, more) => writeln!(html, "<li>and {more} more</li>")?,
    }
    html.push_str("</ul>\n</section>\n");
    Ok(())
}

fn card(html: &mut String, service: &ServiceStatus) -> fmt::Result {
    write!(html, "<section>\n<h2>{}", Escaped(&service.name))?;
    match (service.phase, service.stage) {
        (Phase::Ended, _) => html.push_str(" <span>ended</span>"),
        (_, 0) => {}
        (_, stage) => write!(html, " <span>stage {}</span>", stage + 1)?,
    }
    html.push_str("</h2>\n");
    if service.addresses.is_empty() {
        html.push_str("<p>works without a socket</p>\n</section>\n");
        return Ok(());
    }
    writeln!(html, "<p>listens on {}</p>", Escaped(&service.addresses.join(", ")))?;
    html.push_str("<dl class=\"states\">\n");
    for (state, count) in service.open {
        pair(html, state, count)?;
    }
    html.push_str("</dl>\n<dl>\n");
    let counts = &service.counts;
    pair(html, "accepted", counts.accepted)?;
    pair(html, "refused", counts.refused)?;
    pair(html, "requests", counts.requests)?;
    for (class, count) in (1..).zip(counts.statuses).filter(|(_, count)| *count > 0) {
        pair(html, format_args!("{class}xx"), count)?;
    }
    if counts.latency.count() > 0 {
        pair(html, "median", Quantile(service, 50))?;
        pair(html, "99 %", Quantile(service, 99))?;
    }
    pair(html, "received", Bytes(counts.received))?;
    pair(html, "sent", Bytes(counts.sent))?;
    pair(html, "drained", counts.drained)?;
    pair(html, "closed idle", counts.closed_idle)?;
    pair(html, "panicked", counts.panicked)?;
    if counts.blocked > 0 {
        pair(html, "blocked the thread", counts.blocked)?;
    }
    if counts.restarted > 0 {
        pair(html, "restarts", counts.restarted)?;
    }
    html.push_str("</dl>\n</section>\n");
    Ok(())
}

fn pair(html: &mut String, name: impl fmt::Display, value: impl fmt::Display) -> fmt::Result {
    writeln!(html, "<div><dt>{name}</dt><dd>{value}</dd></div>")
}

/// The bound of the bucket in which so many percent of the requests were done.
struct Quantile<'a>(&'a ServiceStatus, u64);

impl fmt::Display for Quantile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latency = &self.0.counts.latency;
        let rank = (latency.count() * self.1).div_ceil(100);
        match latency.cumulative().find(|(_, count)| *count >= rank) {
            Some((bound, _)) => write!(f, "≤ {:?}", bound),
            None => f.write_str("&gt; 10 s"),
        }
    }
}

struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes @ 0..1_000 => write!(f, "{bytes} B"),
            bytes @ 1_000..1_000_000 => write!(f, "{:.1} kB", bytes as f64 / 1e3),
            bytes @ 1_000_000..1_000_000_000 => write!(f, "{:.1} MB", bytes as f64 / 1e6),
            bytes => write!(f, "{:.1} GB", bytes as f64 / 1e9),
        }
    }
}

/// A long time to read: its two largest units.
struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{seconds} s"),
            (0, 0, _) => write!(f, "{minutes} min {} s", seconds % 60),
            (0, ..) => write!(f, "{hours} h {} min", minutes % 60),
            _ => write!(f, "{days} d {} h", hours % 24),
        }
    }
}

/// Text that others have chosen: names, addresses, peers, request lines.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c => f.write_char(c),
        })
    }
}
