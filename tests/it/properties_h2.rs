//! What the fuzzer of HTTP/2 checks: as `properties.rs` has it for HTTP/1.1.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use adieu::hyper::hyper::service::service_fn;
use adieu::hyper::hyper::{Request, Response};
use adieu::hyper::{Hyper, Limits, RequestBody};
use adieu::testing::{ManualClock, memory, settle};
use adieu::{Clock, Server, Trigger};

use crate::choices::Choices;
use crate::h2::{self, Client, Frame};
use crate::rig::Rig;

const GRACE: Duration = Duration::from_secs(10);

/// A connection over HTTP/2: behind the preface arbitrary bytes, arbitrary or well-formed frames, in arbitrary
/// pieces, from a client that may read nothing and acknowledge nothing; with a shutdown at an arbitrary
/// moment. The run is over by the deadline, what comes back are frames, and the report adds up.
pub fn http2(data: &[u8]) {
    let (listener, network) = memory();
    let clock = ManualClock::new();
    let time = clock.clone();
    let service = service_fn(move |request| answer(time.clone(), request));
    let limits = Limits { body_size: 10_000, ..Limits::default() };
    let server = Server::new(listener, Hyper::new(service)).limits(limits);
    let mut trigger = None;
    let rig = Rig::start_by(clock, |supervisor| {
        trigger = Some(supervisor.trigger());
        supervisor.service("web", server).grace(GRACE)
    });
    let mut choices = Choices(data);
    let stream = network.connect_with_capacity(4096).expect("the server listens");
    let window = [1, 100, 65_535, 1 << 20][usize::from(choices.byte()) % 4];
    let mut wire =
        Wire { client: Client::over(stream, window), seen: Vec::new(), asked: 0, wild: false };
    while !choices.0.is_empty() {
        wire.step(&mut choices, &rig, trigger.as_ref());
    }
    trigger.iter().for_each(Trigger::shut_down);
    for _ in 0..11 {
        settle(&rig.executor);
        wire.read(true);
        rig.pass(Duration::from_secs(1));
    }
    wire.read(false);
    let report = rig.report();
    let counts = &report.services[0].counts;
    assert!(report.took <= GRACE, "{report}");
    assert_eq!((counts.accepted, counts.panicked), (1, 0), "{report}");
    assert_eq!(counts.cut_off, report.stragglers.len() as u64, "{report}");
    assert!(counts.drained + counts.closed_idle + counts.cut_off <= 1, "{report}");
    assert_eq!(report.is_graceful(), report.stragglers.is_empty(), "{report}");
    wire.check(counts.requests);
}

/// Answers at once, after a time, with what came, or never.
async fn answer(
    clock: ManualClock,
    request: Request<RequestBody>,
) -> Result<Response<String>, Infallible> {
    let path = request.uri().path().to_owned();
    if path == "/slow" {
        clock.sleep_until(clock.now() + Duration::from_secs(1)).await;
    }
    if path == "/never" {
        std::future::pending::<()>().await;
    }
    let mut length = 0;
    if path == "/echo" {
        let mut body = std::pin::pin!(request.into_body());
        let body = std::future::poll_fn(|cx| {
            use adieu::hyper::hyper::body::Body;
            loop {
                match std::task::ready!(body.as_mut().poll_frame(cx)) {
                    Some(Ok(frame)) => length += frame.data_ref().map_or(0, |data| data.len()),
                    _ => return std::task::Poll::Ready(()),
                }
            }
        });
        body.await;
    }
    Ok(Response::new(".".repeat(if path == "/large" { 20_000 } else { length })))
}

struct Wire {
    client: Client,
    seen: Vec<Frame>,
    /// Well-formed requests so far.
    asked: u32,
    /// Whether something was sent of which nobody can tell what it meant.
    wild: bool,
}

impl Wire {
    fn step(&mut self, choices: &mut Choices<'_>, rig: &Rig, trigger: Option<&Trigger>) {
        let choice = choices.byte();
        match choice {
            160..180 => rig.pass(Duration::from_millis(50) * u32::from(choices.byte())),
            180..200 => drop(rig.executor.try_tick()),
            200..203 => trigger.into_iter().for_each(Trigger::shut_down),
            203..220 => self.read(true),
            220..230 => self.read(false),
            230.. => settle(&rig.executor),
            _ if self.client.stream.is_gone() => {}
            0..60 => self.ask(choice),
            60..90 => {
                let (stream, length) = (self.stream(choice), usize::from(choices.byte()) * 20);
                self.client.data(stream, choice % 2 == 0, &vec![b'.'; length]);
                // It may be behind the end of its stream.
                self.wild = true;
            }
            90..100 => self.client.widen(self.stream(choice), u32::from(choices.byte()) * 100 + 1),
            100..105 => self.client.widen(0, u32::from(choices.byte()) * 100 + 1),
            105..110 => self.client.settings(u32::from(choices.byte()) * 100),
            110..120 => {
                self.client.reset(self.stream(choice), u32::from(choices.byte()));
                self.wild = true;
            }
            120..140 => {
                let [kind, flags, stream, length] = [0; 4].map(|_| choices.byte());
                let payload = choices.bytes(usize::from(length));
                self.client.send(kind, flags, u32::from(stream), payload);
                self.wild = true;
            }
            140..160 => {
                let length = usize::from(choices.byte());
                self.client.stream.send(choices.bytes(length));
                self.wild = true;
            }
        }
    }

    /// The stream of one of the last requests.
    fn stream(&self, choice: u8) -> u32 {
        (2 * self.asked).saturating_sub(1 + 2 * (u32::from(choice) % 3))
    }

    fn ask(&mut self, choice: u8) {
        let stream = 2 * self.asked + 1;
        self.asked += 1;
        match choice % 6 {
            0 => self.client.get(stream, "/"),
            1 => self.client.get(stream, "/slow"),
            2 => self.client.get(stream, "/never"),
            3 => self.client.get(stream, "/large"),
            4 => self.client.post(stream, "/echo"),
            _ => self.client.post(stream, "/"),
        }
    }

    fn read(&mut self, acknowledges: bool) {
        let is_gone = self.client.stream.is_gone();
        self.seen.extend(match acknowledges && !is_gone {
            true => self.client.frames(),
            false => self.client.frames_unanswered(),
        });
    }

    /// Frames of kinds that exist, and each answer that has come to its end is in the books once.
    fn check(&self, requests: u64) {
        for frame in &self.seen {
            assert!(frame.kind <= h2::WINDOW_UPDATE + 1, "{frame:?}");
        }
        let ends = self.seen.iter().filter(|frame| frame.ends_stream());
        let answered: BTreeSet<_> = ends.clone().map(|frame| frame.stream).collect();
        assert_eq!(answered.len(), ends.count(), "a stream has ended twice");
        if !self.wild && !self.client.stream.is_reset() {
            assert_eq!(answered.len() as u64, requests, "{:?}", self.seen);
        }
    }
}
