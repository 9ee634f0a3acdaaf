//! The admin server: probes, metrics as a real parser reads them, the page.

use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::time::Duration;

use adieu::http::Http;
use adieu::http::http_types::{Error, Request, Response, Result, StatusCode};
use adieu::testing::{MemoryStream, Network, memory};
use adieu::{Admin, Server, Signal};
use prometheus_parse::{Sample, Scrape, Value};

use crate::rig::{Rig, ask, text};
use crate::web::get;

async fn handler(request: Request) -> Result<Response> {
    match request.url().path() {
        "/stuck" => pending().await,
        "/teapot" => Err(Error::from_str(StatusCode::ImATeapot, "short and stout")),
        _ => Ok("hello".into()),
    }
}

/// "web" with a name that needs escaping, and the door of its admin server.
struct House {
    rig: Rig,
    network: Network,
    door: Network,
}

const NAME: &str = "<web> \"1\"\\";

impl House {
    fn open(lame_duck: Duration) -> House {
        let (listener, network) = memory();
        let (admin, door) = memory();
        let rig = Rig::start(|s| {
            s.lame_duck(lame_duck)
                .service(NAME, Server::new(listener, Http::new(handler)))
                .next_stage()
                .service("admin", Admin::new(admin))
        });
        House { rig, network, door }
    }

    fn connect(&self, target: &str) -> MemoryStream {
        ask(&self.rig, &self.network, get(target, "").as_bytes())
    }

    fn send(&self, request: &str) -> String {
        text(&ask(&self.rig, &self.door, request.as_bytes()))
    }

    fn look(&self, path: &str) -> String {
        self.send(&get(path, ""))
    }

    fn metrics(&self) -> Metrics {
        let answer = self.look("/metrics");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
        let lines = body.lines().map(|line| io::Result::Ok(line.to_owned()));
        let scrape = Scrape::parse(lines).unwrap();
        // What the parser does not understand it leaves out.
        let samples = body.lines().filter(|line| !line.starts_with('#')).count();
        let parsed: usize = scrape.samples.iter().map(count_lines).sum();
        assert_eq!(parsed, samples, "{body}");
        for sample in &scrape.samples {
            let family = sample.metric.trim_end_matches("_sum").trim_end_matches("_count");
            assert!(scrape.docs.contains_key(family), "{family} has no help");
            let typed = !matches!(sample.value, Value::Untyped(_));
            assert!(typed || family != sample.metric, "{family} has no type");
        }
        Metrics(scrape)
    }
}

fn count_lines(sample: &Sample) -> usize {
    match &sample.value {
        Value::Histogram(buckets) => buckets.len(),
        _ => 1,
    }
}

struct Metrics(Scrape);

impl Metrics {
    fn find(&self, name: &str, labels: &[(&str, &str)]) -> &Sample {
        let wanted: HashMap<_, _> = labels.iter().copied().collect();
        let fits = |sample: &&Sample| {
            sample.metric == name && wanted.iter().all(|(k, v)| sample.labels.get(k) == Some(v))
        };
        self.0.samples.iter().find(fits).unwrap_or_else(|| panic!("no {name} {labels:?}"))
    }

    fn get(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        match self.find(name, labels).value {
            Value::Counter(value) | Value::Gauge(value) => value,
            _ => panic!("{name} is neither a counter nor a gauge"),
        }
    }
}

#[test]
fn readyz_turns_false_with_the_cause_and_livez_does_not() {
    let house = House::open(Duration::from_secs(2));
    assert!(house.look("/readyz").starts_with("HTTP/1.1 200 "));
    let _busy = house.connect("/stuck");
    house.rig.signal(Signal::Term);
    for wait in [0, 3, 6] {
        house.rig.pass(Duration::from_secs(wait));
        assert!(house.look("/readyz").starts_with("HTTP/1.1 503 "), "after {wait} s more");
        assert!(house.look("/livez").starts_with("HTTP/1.1 200 "), "after {wait} s more");
    }
    house.rig.pass(Duration::from_secs(1));
    assert!(!house.door.is_open());
    assert_eq!(house.rig.report().exit_status(), 124);
}

#[test]
fn metrics_are_what_has_happened_as_a_parser_reads_it() {
    let house = House::open(Duration::ZERO);
    for target in ["/", "/", "/teapot"] {
        drop(house.connect(target));
    }
    let idle = house.connect("/");
    let _busy = house.connect("/stuck");
    let metrics = house.metrics();
    // The parser does not undo the escapes of a label's value.
    let web = [("service", "<web> \\\"1\\\"\\\\")];
    let with = |label, value| [web[0], (label, value)];
    assert_eq!(metrics.get("adieu_connections_accepted_total", &web), 5.0);
    assert_eq!(metrics.get("adieu_connections_open", &with("state", "idle")), 1.0);
    assert_eq!(metrics.get("adieu_connections_open", &with("state", "active")), 1.0);
    assert_eq!(metrics.get("adieu_in_flight", &web), 1.0);
    assert_eq!(metrics.get("adieu_requests_total", &with("code", "2xx")), 3.0);
    assert_eq!(metrics.get("adieu_requests_total", &with("code", "4xx")), 1.0);
    assert!(metrics.get("adieu_received_bytes_total", &web) > 100.0);
    assert_eq!(metrics.get("adieu_ready", &[]), 1.0);
    assert_eq!(metrics.get("adieu_phase", &[("phase", "serving")]), 1.0);
    assert_eq!(
        metrics.get("adieu_connections_open", &[("service", "admin"), ("state", "active")]),
        1.0
    );
    let Value::Histogram(buckets) = &metrics.find("adieu_request_duration_seconds", &web).value
    else {
        panic!("not a histogram");
    };
    assert_eq!(buckets.len(), 15);
    assert!(buckets.windows(2).all(|pair| pair[0].less_than < pair[1].less_than));
    assert!(buckets.iter().all(|bucket| bucket.count == 4.0));

    house.rig.signal(Signal::Term);
    assert!(idle.is_closed());
    let metrics = house.metrics();
    assert_eq!(metrics.get("adieu_connections_closed_idle_total", &web), 1.0);
    assert_eq!(metrics.get("adieu_ready", &[]), 0.0);
    assert_eq!(metrics.get("adieu_phase", &[("phase", "draining")]), 1.0);
    assert_eq!(metrics.get("adieu_time_left_seconds", &[]), 10.0);
}

#[test]
fn the_page_shows_services_and_what_others_wrote_is_escaped() {
    let house = House::open(Duration::ZERO);
    let _busy = house.connect("/stuck");
    let page = house.look("/");
    assert!(page.contains("content-type: text/html"), "{page}");
    assert!(page.contains("content=\"5\""), "it refreshes itself: {page}");
    assert!(page.contains("<h2>&lt;web&gt; &quot;1&quot;\\</h2>"), "{page}");
    assert!(!page.contains("<script"), "{page}");
}

#[test]
fn during_the_drain_the_page_tells_why_for_whom_and_how_long() {
    let house = House::open(Duration::from_secs(1));
    let _busy = house.connect("/stuck");
    house.rig.signal(Signal::Term);
    let page = house.look("/");
    assert!(page.contains("<h1 class=\"lame-duck\">lame duck</h1>"), "{page}");
    assert!(page.contains("SIGTERM <span>began it, 10.0 s left"), "{page}");
    assert!(page.contains("still accepting"), "{page}");
    house.rig.pass(Duration::from_secs(3));
    let page = house.look("/");
    assert!(page.contains("7.0 s left"), "{page}");
    assert!(page.contains("client 1 active for 3.0 s, GET /stuck"), "{page}");
}

#[test]
fn there_is_nothing_else_and_nothing_to_change() {
    let house = House::open(Duration::ZERO);
    assert!(house.look("/etc/passwd").starts_with("HTTP/1.1 404 "));
    let post = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n";
    assert!(house.send(post).starts_with("HTTP/1.1 405 "));
    let head = house.send("HEAD /readyz HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
}
