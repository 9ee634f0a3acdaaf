//! Readiness that services hold back: at the start and later, and everybody who asks whether a run is ready.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use adieu::testing::settle;
use adieu::{Cause, Context, NotReady, Outcome, Phase, Signal, Status};
use async_channel::{Receiver, Sender, unbounded};

use crate::rig::Rig;

/// What a test has a service do with its readiness.
pub enum Ask {
    Hold(&'static str),
    LetGo,
}

/// Holds readiness back from its first turn on if it has a reason, and then does what it is asked to.
pub async fn moody(
    cx: Context,
    reason: Option<&'static str>,
    asked: Receiver<Ask>,
) -> io::Result<()> {
    let mut held: Vec<NotReady> = reason.map(|reason| cx.not_ready(reason)).into_iter().collect();
    while let Some(Ok(ask)) = cx.shutdown().race(asked.recv()).await {
        match ask {
            Ask::Hold(reason) => held.push(cx.not_ready(reason)),
            Ask::LetGo => drop(held.remove(0)),
        }
    }
    Ok(())
}

/// A run of `api`, which holds readiness back for this reason, and `other`, which does not.
struct House {
    rig: Rig,
    status: Status,
    ask: Sender<Ask>,
}

impl House {
    fn open(reason: Option<&'static str>, ready_within: Option<Duration>) -> House {
        let (ask, asked) = unbounded();
        let status = Rc::new(RefCell::new(None));
        let seen = status.clone();
        let rig = Rig::start(|supervisor| {
            let supervisor = match ready_within {
                Some(time) => supervisor.ready_within(time),
                None => supervisor,
            };
            supervisor.service("api", move |cx| moody(cx, reason, asked)).service(
                "other",
                async move |cx: Context| {
                    *seen.borrow_mut() = Some(cx.status().clone());
                    cx.shutdown().begun().await;
                    io::Result::Ok(())
                },
            )
        });
        let status = status.take().expect("it runs");
        House { rig, status, ask }
    }

    fn ask(&self, ask: Ask) {
        self.ask.try_send(ask).expect("it listens");
        settle(&self.rig.executor);
    }

    fn held(&self) -> Vec<String> {
        self.status.not_ready().iter().map(ToString::to_string).collect()
    }
}

#[test]
fn a_run_serves_and_is_ready_once_nobody_holds_readiness_back() {
    let house = House::open(Some("loading the cache"), None);
    assert_eq!(house.status.phase(), Phase::Starting);
    assert!(!house.status.is_ready());
    assert_eq!(house.held(), ["api: loading the cache"]);
    house.rig.pass(Duration::from_secs(3600));
    assert_eq!(house.status.phase(), Phase::Starting);
    house.ask(Ask::LetGo);
    assert_eq!(house.status.phase(), Phase::Serving);
    assert!(house.status.is_ready());
    assert!(house.held().is_empty());
}

#[test]
fn readiness_can_be_held_back_later_and_more_than_once() {
    let house = House::open(None, None);
    assert!(house.status.is_ready());
    house.ask(Ask::Hold("the database is away"));
    house.ask(Ask::Hold(""));
    assert_eq!(house.held(), ["api: the database is away", "api: not ready"]);
    house.ask(Ask::LetGo);
    assert!(!house.status.is_ready());
    assert_eq!(house.status.phase(), Phase::Serving, "phases only go forward");
    house.ask(Ask::LetGo);
    assert!(house.status.is_ready());
}

#[test]
fn each_change_of_readiness_wakes_those_who_wait_for_one() {
    let house = House::open(Some("starting"), None);
    let changes: [Box<dyn Fn()>; 4] = [
        Box::new(|| house.ask(Ask::Hold("more"))),
        Box::new(|| house.ask(Ask::LetGo)),
        Box::new(|| house.ask(Ask::LetGo)),
        Box::new(|| house.rig.signal(Signal::Term)),
    ];
    for change in changes {
        let changed = house.rig.executor.spawn(house.status.changed());
        settle(&house.rig.executor);
        assert!(!changed.is_finished());
        change();
        assert!(changed.is_finished());
    }
}

#[test]
fn with_the_cause_a_run_is_not_ready_whoever_lets_go() {
    for reason in [None, Some("loading")] {
        let house = House::open(reason, None);
        house.rig.signal(Signal::Term);
        assert!(!house.status.is_ready());
        assert!(house.held().is_empty(), "its service has ended");
        assert_eq!(house.status.phase(), Phase::Ended);
        let report = house.rig.report();
        assert!(report.is_graceful(), "it need not have been ready to end well: {report}");
    }
}

#[test]
fn a_start_that_takes_too_long_is_a_cause_that_names_who_held_it() {
    let house = House::open(Some("loading the cache"), Some(Duration::from_secs(5)));
    house.rig.pass(Duration::from_millis(4_999));
    assert!(!house.rig.run.is_finished());
    house.rig.pass(Duration::from_millis(1));
    let report = house.rig.report();
    let Cause::NotReady(held) = &report.cause else { panic!("{report}") };
    assert_eq!((&*held[0].service, &*held[0].reason), ("api", "loading the cache"));
    assert_eq!(report.cause.to_string(), "not being ready in time (api: loading the cache)");
    assert!(matches!(report.services[0].outcome, Outcome::Finished), "it was told");
    assert!(!report.is_graceful());
    assert_eq!(report.exit_status(), 1);
}

#[test]
fn who_was_ready_once_in_time_may_be_unready_later() {
    let house = House::open(Some("loading"), Some(Duration::from_secs(5)));
    house.rig.pass(Duration::from_secs(4));
    house.ask(Ask::LetGo);
    house.ask(Ask::Hold("the database is away"));
    house.rig.pass(Duration::from_secs(60));
    assert!(!house.rig.run.is_finished());
}

#[test]
fn a_time_to_be_ready_of_zero_or_of_ages_is_no_panic() {
    let house = House::open(None, Some(Duration::ZERO));
    assert!(house.status.is_ready(), "it was ready in the first turn");
    let house = House::open(Some("loading"), Some(Duration::MAX));
    house.rig.pass(Duration::from_secs(3600));
    assert!(!house.rig.run.is_finished());
    let house = House::open(Some("loading"), Some(Duration::ZERO));
    assert!(matches!(house.rig.report().cause, Cause::NotReady(_)));
}

#[test]
fn what_a_reason_says_stays_in_its_line() {
    let house = House::open(Some("a\nb: \u{1b}[31m"), None);
    assert_eq!(house.held(), ["api: a\\nb: \\u{1b}[31m"]);
}

#[cfg(feature = "admin")]
mod told {
    use super::*;
    use adieu::Admin;
    use adieu::testing::{Network, memory};

    fn open(reason: Option<&'static str>) -> (Rig, Network, Sender<Ask>) {
        let (ask, asked) = unbounded();
        let (admin, door) = memory();
        let rig = Rig::start(|supervisor| {
            let api = move |cx| moody(cx, reason, asked);
            supervisor
                .service("api", api)
                .lame_duck(Duration::from_secs(1))
                .next_stage()
                .service("admin", Admin::new(admin))
        });
        (rig, door, ask)
    }

    fn look(rig: &Rig, door: &Network, path: &str) -> String {
        let client = door.connect().unwrap();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
        settle(&rig.executor);
        String::from_utf8(client.received()).unwrap()
    }

    #[test]
    fn readyz_says_who_holds_readiness_back_and_why() {
        let (rig, door, ask) = open(Some("loading the cache"));
        let answer = look(&rig, &door, "/readyz");
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.ends_with("\r\n\r\napi: loading the cache\n"), "{answer}");
        assert!(look(&rig, &door, "/livez").starts_with("HTTP/1.1 200 "));
        ask.try_send(Ask::Hold("the database is away")).unwrap();
        settle(&rig.executor);
        let answer = look(&rig, &door, "/readyz");
        assert!(
            answer.ends_with("api: loading the cache\napi: the database is away\n"),
            "{answer}"
        );
        for _ in 0..2 {
            ask.try_send(Ask::LetGo).unwrap();
        }
        settle(&rig.executor);
        let answer = look(&rig, &door, "/readyz");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ready\n"), "{answer}");
        rig.signal(Signal::Term);
        let answer = look(&rig, &door, "/readyz");
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.ends_with("shutting down\n"), "{answer}");
    }

    #[test]
    fn metrics_and_the_page_say_who_is_not_ready() {
        let (rig, door, ask) = open(Some("loading <all>"));
        let metrics = look(&rig, &door, "/metrics");
        for line in [
            "adieu_ready 0",
            "adieu_not_ready{service=\"api\"} 1",
            "adieu_not_ready{service=\"admin\"} 0",
            "adieu_phase{phase=\"starting\"} 1",
        ] {
            assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
        }
        let page = look(&rig, &door, "/");
        assert!(page.contains("<li>api: loading &lt;all&gt;</li>"), "{page}");
        assert!(!page.contains("began it"), "{page}");
        ask.try_send(Ask::LetGo).unwrap();
        settle(&rig.executor);
        let metrics = look(&rig, &door, "/metrics");
        assert!(metrics.contains("\nadieu_ready 1\n"), "{metrics}");
        assert!(metrics.contains("\nadieu_not_ready{service=\"api\"} 0\n"), "{metrics}");
        assert!(!look(&rig, &door, "/").contains("not ready"));
    }
}
