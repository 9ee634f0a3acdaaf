//! The admin server: probes, metrics as a real parser reads them, the page.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt::Write;
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use adieu::http::Http;
use adieu::http::http_types::{Error, Request, Response, Result, StatusCode};
use adieu::testing::{MemoryListener, MemoryStream, Network, memory};
use adieu::{Admin, Cause, Context, Server, Signal};
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
        House::with(lame_duck, |admin| admin)
    }

    fn with(
        lame_duck: Duration,
        add: impl FnOnce(Admin<MemoryListener>) -> Admin<MemoryListener>,
    ) -> House {
        let (listener, network) = memory();
        let (admin, door) = memory();
        let rig = Rig::start(|s| {
            s.lame_duck(lame_duck)
                .service(NAME, Server::new(listener, Http::new(handler)))
                .service("worker", async |cx: Context| {
                    cx.shutdown().begun().await;
                    io::Result::Ok(())
                })
                .next_stage()
                .service("admin", add(Admin::new(admin)))
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

    fn post(&self, path: &str, headers: &str) -> String {
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n{headers}\r\n"
        ))
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
    assert!(house.post("/", "").starts_with("HTTP/1.1 405 "));
    let head = house.send("HEAD /readyz HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn what_has_no_socket_has_no_numbers_of_connections() {
    let house = House::open(Duration::ZERO);
    let page = house.look("/");
    let (_, worker) = page.split_once("<h2>worker</h2>").unwrap();
    let (worker, _) = worker.split_once("</section>").unwrap();
    assert_eq!(worker.trim(), "<p>works without a socket</p>");
    assert_eq!(page.matches("<p>listens on memory</p>").count(), 2, "{page}");
    let metrics = house.look("/metrics");
    let mut about = metrics.lines().filter(|line| line.contains("service=\"worker\""));
    assert_eq!(about.next(), Some("adieu_not_ready{service=\"worker\"} 0"), "{metrics}");
    assert_eq!(about.next(), None);
}

#[test]
fn the_page_says_which_program_it_is_and_which_version() {
    let house = House::with(Duration::ZERO, |admin| admin.program("<mailer>", "1.2.3"));
    let page = house.look("/");
    assert!(page.contains("<title>&lt;mailer&gt; 1.2.3: serving</title>"), "{page}");
    assert!(page.contains("<p>&lt;mailer&gt; 1.2.3, up for "), "{page}");
    if let Ok(file) = std::env::current_exe() {
        let file = file.file_name().unwrap().display().to_string();
        assert!(House::open(Duration::ZERO).look("/").contains(&format!("<p>{file}, up for ")));
    }
}

#[test]
fn a_programs_own_counters_stand_behind_the_others() {
    let mails = Rc::new(Cell::new(0));
    let sent = mails.clone();
    let house = House::with(Duration::ZERO, |admin| {
        let queue = "# HELP mail_queue Mails that wait.\n# TYPE mail_queue gauge\nmail_queue 2";
        admin.metrics(|out| out.push_str(queue)).metrics(move |out| {
            let head = "# HELP mails_sent_total Mails sent.\n# TYPE mails_sent_total counter";
            writeln!(out, "{head}\nmails_sent_total {}", sent.get()).unwrap();
        })
    });
    mails.set(7);
    let metrics = house.metrics();
    assert_eq!(metrics.get("mail_queue", &[]), 2.0);
    assert_eq!(metrics.get("mails_sent_total", &[]), 7.0);
    assert_eq!(metrics.get("adieu_ready", &[]), 1.0);
}

#[test]
fn a_programs_own_metrics_and_paths_may_panic_and_the_server_goes_on() {
    let house = House::with(Duration::ZERO, |admin| {
        let panics = async |_: Request| -> Result<Response> { panic!("no such flag") };
        admin.metrics(|_| panic!("no such counter")).route("/panics", panics).unwrap()
    });
    for path in ["/metrics", "/panics"] {
        assert!(house.look(path).starts_with("HTTP/1.1 500 "), "{path}");
    }
    assert!(house.look("/livez").starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_program_answers_at_paths_of_its_own_by_every_method() {
    let house = House::with(Duration::ZERO, |admin| {
        let flags =
            async |request: Request| Result::<Response>::Ok(request.method().to_string().into());
        admin.route("/flags", flags).unwrap().route("/flags/a%20b", handler).unwrap()
    });
    assert!(house.look("/flags?all").ends_with("\r\n\r\nGET"));
    assert!(house.post("/flags", "").ends_with("\r\n\r\nPOST"));
    assert!(house.look("/flags/a%20b").ends_with("\r\n\r\nhello"));
    assert!(house.look("/flags/").starts_with("HTTP/1.1 404 "));
    let words = "there are /, /livez, /metrics, /readyz, /flags, /flags/a%20b\n";
    assert!(house.look("/flag").ends_with(words));
}

#[test]
fn a_path_that_no_request_can_have_or_that_is_taken_is_an_error() {
    let admin = || Admin::new(memory().0);
    for path in ["", "flags", "/a b", "/a?b", "/a#b", "/a/../b", "/ä", "http://x/", "/a|b", "*"] {
        let error = admin().route(path, handler).unwrap_err().to_string();
        let wanted = format!("no handler can be at {path:?}: it is not a path as a request has it");
        assert!(error.starts_with(&wanted), "{error}");
    }
    for path in ["/", "/livez", "/readyz", "/metrics", "/drain"] {
        let error = admin().route(path, handler).unwrap_err().to_string();
        assert!(error.ends_with(": the admin server answers there itself"), "{error}");
    }
    let twice = admin().route("/a", handler).unwrap().route("/a", handler);
    assert_eq!(twice.unwrap_err().to_string(), "no handler can be at \"/a\": there is one already");
}

#[test]
fn a_drain_that_is_asked_for_begins_if_it_is_allowed() {
    let house = House::with(Duration::ZERO, |admin| admin.allow_drain(true));
    let _busy = house.connect("/stuck");
    assert!(house.look("/drain").contains("allow: POST\r\n"));
    // A page in the browser of somebody on this machine.
    let answer = house.post("/drain", "Origin: http://example.com\r\n");
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(house.look("/readyz").starts_with("HTTP/1.1 200 "));
    for _ in 0..2 {
        let answer = house.post("/drain", "");
        assert!(
            answer.starts_with("HTTP/1.1 202 ") && answer.ends_with("shutting down\n"),
            "{answer}"
        );
        assert!(house.look("/readyz").starts_with("HTTP/1.1 503 "));
    }
    assert!(!house.network.is_open());
    house.rig.pass(Duration::from_secs(10));
    let report = house.rig.report();
    assert!(matches!(report.cause, Cause::Trigger));
    assert_eq!(report.exit_status(), 124);
}

#[test]
fn a_drain_that_is_asked_for_is_refused_if_it_is_not_allowed() {
    let house = House::open(Duration::ZERO);
    for answer in [house.post("/drain", ""), house.look("/drain")] {
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    assert!(house.look("/readyz").starts_with("HTTP/1.1 200 "));
}
