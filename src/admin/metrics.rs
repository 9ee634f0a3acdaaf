//! The Prometheus text format, version 0.0.4.
//!
//! Written by hand: the numbers are counted already, in plain cells of the one thread, and a
//! library would keep them a second time, in atomics behind a registry.

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::process;
use crate::register::{Counts, Latency};
use crate::shutdown::Phase;
use crate::slot::ServiceStatus;
use crate::status::Status;

pub(super) fn render(status: &Status, began: SystemTime) -> String {
    let mut text = Text(String::with_capacity(8 * 1024));
    let mut services = status.services();
    run(&mut text, status, &services);
    // What has no socket has no connections to count.
    services.retain(|service| !service.addresses.is_empty());
    per_service(&mut text, &services);
    latency(&mut text, &services);
    process(&mut text, status, began);
    text.0
}

fn per_service(text: &mut Text, services: &[ServiceStatus]) {
    let mut counter = |name: &str, help: &str, of: fn(&Counts) -> u64| {
        text.family(name, "counter", help);
        for service in services {
            text.sample(name, &[("service", &service.name)], of(&service.counts));
        }
    };
    counter("adieu_connections_accepted_total", "Connections accepted.", |c| c.accepted);
    counter(
        "adieu_connections_refused_total",
        "Connections closed at once, because their peer had as many as it may have.",
        |c| c.refused,
    );
    counter(
        "adieu_connections_drained_total",
        "Connections that did work after shutdown began and ended it in time.",
        |c| c.drained,
    );
    counter(
        "adieu_connections_closed_idle_total",
        "Connections closed by the drain while they had nothing to do.",
        |c| c.closed_idle,
    );
    counter("adieu_connections_cut_off_total", "Connections dropped at the deadline.", |c| {
        c.cut_off
    });
    counter(
        "adieu_handlers_dropped_total",
        "Handlers that were dropped because their client had gone.",
        |c| c.dropped,
    );
    counter("adieu_panics_total", "Connections or handlers that panicked.", |c| c.panicked);
    counter(
        "adieu_blocked_turns_total",
        "Turns of the loop in which the service blocked the thread for longer than a second.",
        |c| c.blocked,
    );
    counter("adieu_restarts_total", "Times a service was started anew after a failure.", |c| {
        c.restarted
    });
    counter("adieu_received_bytes_total", "Bytes read from connections.", |c| c.received);
    counter("adieu_sent_bytes_total", "Bytes written to connections.", |c| c.sent);

    text.family("adieu_connections_open", "gauge", "Open connections by state.");
    for service in services {
        for (state, count) in service.open {
            let labels = [("service", &*service.name), ("state", &state.to_string())];
            text.sample("adieu_connections_open", &labels, count);
        }
    }
    text.family("adieu_in_flight", "gauge", "Connections with work in flight.");
    for service in services {
        let in_flight = service.open.iter().filter(|(state, _)| state.is_in_flight());
        let in_flight: usize = in_flight.map(|(_, count)| count).sum();
        text.sample("adieu_in_flight", &[("service", &service.name)], in_flight);
    }
    text.family("adieu_requests_total", "counter", "Requests answered in full, by status class.");
    for service in services {
        for (class, count) in (1..).zip(service.counts.statuses) {
            let labels = [("service", &*service.name), ("code", &format!("{class}xx"))];
            text.sample("adieu_requests_total", &labels, count);
        }
    }
}

fn latency(text: &mut Text, services: &[ServiceStatus]) {
    const NAME: &str = "adieu_request_duration_seconds";
    text.family(NAME, "histogram", "From a request's whole head to the last byte of its answer.");
    for service in services {
        let latency: &Latency = &service.counts.latency;
        let bucket = format!("{NAME}_bucket");
        let service = ("service", &*service.name);
        for (bound, count) in latency.cumulative() {
            text.sample(&bucket, &[service, ("le", &bound.as_secs_f64().to_string())], count);
        }
        text.sample(&bucket, &[service, ("le", "+Inf")], latency.count());
        text.sample(&format!("{NAME}_sum"), &[service], latency.sum().as_secs_f64());
        text.sample(&format!("{NAME}_count"), &[service], latency.count());
    }
}

fn run(text: &mut Text, status: &Status, services: &[ServiceStatus]) {
    text.family("adieu_ready", "gauge", "Whether new work should be sent here.");
    text.sample("adieu_ready", &[], u8::from(status.is_ready()));
    text.family("adieu_not_ready", "gauge", "How often a service holds readiness back.");
    let held = status.not_ready();
    for service in services {
        let count = held.iter().filter(|held| held.service == service.name).count();
        text.sample("adieu_not_ready", &[("service", &service.name)], count);
    }
    text.family("adieu_phase", "gauge", "How far the run has come: 1 for the phase it is in.");
    for phase in Phase::ALL {
        let is = u8::from(status.phase() == phase);
        text.sample("adieu_phase", &[("phase", &phase.to_string())], is);
    }
    if let Some(left) = status.time_left() {
        text.family("adieu_time_left_seconds", "gauge", "Until whatever is left is cut off.");
        text.sample("adieu_time_left_seconds", &[], left.as_secs_f64());
    }
}

fn process(text: &mut Text, status: &Status, began: SystemTime) {
    let began = began.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64();
    text.family("process_start_time_seconds", "gauge", "When the run began, as Unix time.");
    text.sample("process_start_time_seconds", &[], began);
    text.family("process_uptime_seconds", "gauge", "How long ago that was.");
    text.sample("process_uptime_seconds", &[], status.uptime().as_secs_f64());
    let gauges = [
        ("process_resident_memory_bytes", "Resident memory.", process::resident_memory()),
        ("process_open_fds", "Open descriptors.", process::open_descriptors()),
        ("process_max_fds", "How many descriptors there may be.", process::most_descriptors()),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value {
            text.family(name, "gauge", help);
            text.sample(name, &[], value);
        }
    }
}

/// The format being written. Writing to a String cannot fail, so errors are not looked at.
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl fmt::Display) {
        self.0.push_str(name);
        for (number, (label, value)) in labels.iter().enumerate() {
            let open = if number == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{label}=\"{}\"", Escaped(value));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }
}

/// A label's value, which is the only text that others choose.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            c => f.write_char(c),
        })
    }
}
