//! Stages: who is told when, with how much time, and what becomes of those whose time is over.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use adieu::testing::{memory, settle};
use adieu::{
    Cause, Clock, Connection, Context, Outcome, Phase, Server, Service, Signal, Status, Supervisor,
    Tcp,
};
use futures_lite::{future, stream};

use crate::rig::Rig;

const SECOND: Duration = Duration::from_secs(1);

/// What happened, and how long after the signal.
#[derive(Clone, Default)]
struct Story(Rc<RefCell<Vec<(Duration, String)>>>);

impl Story {
    fn note(&self, cx: &Context, what: &str) {
        let passed = cx.status().grace().zip(cx.status().time_left());
        let passed = passed.map_or(Duration::ZERO, |(grace, left)| grace - left);
        self.0.borrow_mut().push((passed, format!("{} {what}", cx.name())));
    }

    fn told(&self) -> Vec<(Duration, String)> {
        self.0.borrow().clone()
    }

    /// A service that notes when it is told, and that it has ended `takes` later.
    fn service(&self, takes: Duration) -> impl Service + use<> {
        let story = self.clone();
        async move |cx: Context| {
            cx.shutdown().begun().await;
            story.note(&cx, "is told");
            cx.sleep(takes).await;
            story.note(&cx, "ends");
            io::Result::Ok(())
        }
    }
}

async fn for_ever(_cx: Context) -> io::Result<()> {
    pending().await
}

fn lines(story: &Story) -> Vec<String> {
    story.told().iter().map(|(at, what)| format!("{} ms: {what}", at.as_millis())).collect()
}

#[test]
fn nobody_is_told_before_the_earlier_stages_have_ended() {
    let story = Story::default();
    let rig = Rig::start(|s| {
        s.service("a", story.service(SECOND))
            .service("b", story.service(SECOND * 2))
            .next_stage()
            .service("c", story.service(SECOND))
            .next_stage()
            .service("d", story.service(Duration::ZERO))
    });
    rig.signal(Signal::Term);
    rig.pass(SECOND * 3);
    assert_eq!(
        lines(&story),
        [
            "0 ms: a is told",
            "0 ms: b is told",
            "1000 ms: a ends",
            "2000 ms: b ends",
            "2000 ms: c is told",
            "3000 ms: c ends",
            "3000 ms: d is told",
            "3000 ms: d ends",
        ]
    );
    let report = rig.report();
    assert!(report.is_graceful(), "{report}");
    let told: Vec<_> =
        report.services.iter().map(|service| (service.stage, service.told)).collect();
    let at = |seconds| Some(SECOND * seconds);
    assert_eq!(told, [(0, at(0)), (0, at(0)), (1, at(2)), (2, at(3))]);
}

#[test]
fn a_stage_that_reserves_time_has_it_behind_a_service_that_never_ends() {
    let story = Story::default();
    let rig = Rig::start(|s| {
        s.grace(SECOND * 3)
            .service("handler", for_ever)
            .next_stage()
            .reserve(SECOND)
            .service("flush", story.service(SECOND / 2))
    });
    rig.signal(Signal::Term);
    rig.pass(SECOND * 3);
    assert_eq!(lines(&story), ["2000 ms: flush is told", "2500 ms: flush ends"]);
    let report = rig.report();
    assert_eq!(report.took, Duration::from_millis(2500));
    assert_eq!(report.exit_status(), 124);
    let named: Vec<_> = report.stragglers.iter().map(|left| left.to_string()).collect();
    assert_eq!(named, ["handler: still running"]);
    assert!(matches!(report.service("flush").unwrap().outcome, Outcome::Finished));
}

#[test]
fn a_stage_without_reserve_is_told_at_the_deadline_and_gets_the_turns_for_what_does_not_wait() {
    let cleaned = Rc::new(Cell::new(0));
    let cleanup = |wait: bool| {
        let cleaned = cleaned.clone();
        async move |cx: Context| {
            cx.shutdown().begun().await;
            for _ in 0..5 {
                future::yield_now().await;
            }
            cleaned.set(cleaned.get() + 1);
            if wait {
                pending().await
            }
            io::Result::Ok(())
        }
    };
    let rig = Rig::start(|s| {
        s.grace(SECOND)
            .service("handler", for_ever)
            .next_stage()
            .service("queue", cleanup(false))
            .next_stage()
            .service("log", cleanup(true))
    });
    rig.signal(Signal::Term);
    rig.pass(SECOND);
    let report = rig.report();
    assert_eq!((cleaned.get(), report.took), (2, SECOND));
    assert!(matches!(report.service("queue").unwrap().outcome, Outcome::Finished));
    let named: Vec<_> = report.stragglers.iter().map(|left| left.service.as_str()).collect();
    assert_eq!(named, ["handler", "log"]);
}

#[test]
fn when_its_time_is_over_a_stage_is_dropped_while_later_ones_run() {
    struct Dropped(Rc<Cell<bool>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let (listener, network) = memory();
    let dropped = Rc::new(Cell::new(false));
    let held = Rc::new(Dropped(dropped.clone()));
    let story = Story::default();
    let stuck = async move |_: &mut _, _: &Connection| {
        let _held = held.clone();
        pending().await
    };
    let rig = Rig::start(|s| {
        s.service("tcp", Server::new(listener, Tcp::new(stuck)))
            .next_stage()
            .reserve(SECOND * 4)
            .service("queue", story.service(SECOND * 3))
    });
    let client = network.connect().unwrap();
    rig.signal(Signal::Term);
    rig.pass(Duration::from_millis(5_950));
    assert!(!dropped.get() && !client.is_gone());
    rig.pass(Duration::from_millis(50));
    assert!(dropped.get() && client.is_gone(), "its time is over");
    assert!(!rig.run.is_finished());
    rig.pass(SECOND * 3);
    let report = rig.report();
    assert_eq!(report.took, SECOND * 9);
    assert_eq!(report.stragglers.len(), 1, "{report}");
    assert_eq!(report.service("tcp").unwrap().counts.cut_off, 1);
}

#[test]
fn the_time_left_is_that_of_the_stage() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let look = || {
        let seen = seen.clone();
        async move |cx: Context| {
            cx.shutdown().begun().await;
            seen.borrow_mut().push(cx.time_left().unwrap());
            io::Result::Ok(())
        }
    };
    let rig = Rig::start(|s| {
        s.service("a", look())
            .next_stage()
            .reserve(SECOND * 2)
            .service("b", look())
            .next_stage()
            .reserve(SECOND)
            .service("c", look())
    });
    rig.signal(Signal::Term);
    rig.report();
    assert_eq!(*seen.borrow(), [SECOND * 7, SECOND * 9, SECOND * 10]);
}

#[test]
fn all_stages_start_together_and_the_first_alone_keeps_the_run_alive() {
    let started = Rc::new(Cell::new(0));
    let begin = |ends: bool| {
        let started = started.clone();
        async move |cx: Context| {
            started.set(started.get() + 1);
            if !ends {
                cx.shutdown().begun().await;
            }
            io::Result::Ok(())
        }
    };
    let rig = Rig::start(|s| s.service("a", begin(true)).next_stage().service("b", begin(false)));
    assert_eq!(started.get(), 2);
    let report = rig.report();
    assert_eq!(report.cause, Cause::AllFinished);
    assert!(report.is_graceful());
}

#[test]
fn the_lame_duck_is_the_first_stages_and_part_of_its_time() {
    let story = Story::default();
    let rig = Rig::start(|s| {
        s.grace(SECOND * 3)
            .lame_duck(SECOND * 2)
            .service("a", story.service(Duration::ZERO))
            .next_stage()
            .reserve(Duration::from_millis(1500))
            .service("b", story.service(Duration::ZERO))
    });
    rig.signal(Signal::Term);
    rig.pass(SECOND * 2);
    assert_eq!(
        lines(&story),
        ["1500 ms: a is told", "1500 ms: a ends", "1500 ms: b is told", "1500 ms: b ends"]
    );
    assert!(rig.report().is_graceful());
}

#[test]
fn a_failure_in_a_later_stage_is_a_cause_like_any_other() {
    let fails = async |_: Context| Err::<(), _>(io::Error::other("no luck"));
    let story = Story::default();
    let rig = Rig::start(|s| {
        s.service("a", story.service(Duration::ZERO)).next_stage().service("bad", fails)
    });
    assert_eq!(rig.report().cause, Cause::Failed("bad".to_owned()));
}

#[test]
fn an_abort_tells_every_stage_before_it_drops_them() {
    let story = Story::default();
    let rig = Rig::start(|s| {
        s.service("a", for_ever)
            .next_stage()
            .service("b", story.service(SECOND))
            .next_stage()
            .service("c", story.service(Duration::ZERO))
    });
    rig.signal(Signal::Term);
    rig.pass(SECOND);
    rig.signal(Signal::Int);
    assert_eq!(lines(&story), ["1000 ms: b is told", "1000 ms: c is told", "1000 ms: c ends"]);
    let report = rig.report();
    assert_eq!(report.exit_status(), 130);
    assert_eq!(report.stragglers.len(), 2, "{report}");
}

#[test]
fn each_change_of_the_phase_can_be_waited_for() {
    let phases = Rc::new(RefCell::new(Vec::new()));
    let status: Rc<RefCell<Option<Status>>> = Rc::default();
    let (seen, kept) = (phases.clone(), status.clone());
    let watch = async move |cx: Context| {
        let status = cx.status().clone();
        *kept.borrow_mut() = Some(status.clone());
        loop {
            let changed = status.changed();
            let look = (status.phase(), status.is_ready());
            if seen.borrow().last() != Some(&look) {
                seen.borrow_mut().push(look);
            }
            cx.shutdown().race(changed).await;
            if cx.shutdown().has_begun() {
                seen.borrow_mut().push((status.phase(), status.is_ready()));
                return io::Result::Ok(());
            }
        }
    };
    let story = Story::default();
    let rig = Rig::start(|s| {
        s.lame_duck(SECOND).service("a", story.service(SECOND)).next_stage().service("watch", watch)
    });
    rig.signal(Signal::Term);
    let services = status.borrow().as_ref().unwrap().services();
    assert_eq!((services[0].phase, services[1].phase), (Phase::LameDuck, Phase::Serving));
    rig.pass(SECOND);
    let services = status.borrow().as_ref().unwrap().services();
    assert_eq!((services[0].phase, services[1].phase), (Phase::Draining, Phase::Serving));
    rig.pass(SECOND);
    rig.report();
    assert_eq!(
        *phases.borrow(),
        [
            (Phase::Starting, false),
            (Phase::Serving, true),
            (Phase::LameDuck, false),
            (Phase::Draining, false),
            (Phase::Draining, false),
        ]
    );
    let status = status.borrow_mut().take().unwrap();
    assert_eq!(status.phase(), Phase::Ended);
    assert!(status.services().iter().all(|service| service.phase == Phase::Ended));
}

/// What a supervisor that cannot be run says.
fn error(supervisor: Supervisor) -> String {
    future::block_on(supervisor.run(stream::pending())).unwrap_err().to_string()
}

#[test]
fn a_plan_that_cannot_be_is_an_error_before_anything_runs() {
    let ran = Rc::new(Cell::new(false));
    let service = || {
        let ran = ran.clone();
        async move |_: Context| {
            ran.set(true);
            io::Result::Ok(())
        }
    };
    let twice = Supervisor::new().service("a", service()).next_stage().service("a", service());
    assert_eq!(error(twice), "there are two services named \"a\"");
    assert_eq!(error(Supervisor::new().service("", service())), "a service has no name");
    let reserving = |time| {
        let supervisor = Supervisor::new().service("a", service()).next_stage();
        supervisor.reserve(time).service("b", service())
    };
    let told = error(reserving(SECOND * 11));
    assert_eq!(told, "the stages reserve 11.0 s, and the grace period is 10.0 s");
    error(reserving(Duration::MAX).next_stage().reserve(Duration::MAX));
    assert!(!ran.get());
    let all_of_it = future::block_on(reserving(SECOND * 10).run(stream::pending()));
    assert!(all_of_it.is_ok() && ran.get());
}

#[test]
fn a_run_and_its_services_go_by_the_supervisors_clock_alone() {
    let story = Story::default();
    let rig = Rig::start(|s| {
        s.service("a", for_ever)
            .next_stage()
            .reserve(SECOND)
            .service("b", story.service(SECOND * 2))
    });
    let began = rig.clock.now();
    rig.signal(Signal::Term);
    let mut instants = Vec::new();
    while let Some(at) = rig.clock.advance_to_next() {
        settle(&rig.executor);
        instants.push(at - began);
    }
    assert!(instants.ends_with(&[SECOND * 9, SECOND * 10]), "{instants:?}");
    assert_eq!(rig.report().took, SECOND * 10);
}
