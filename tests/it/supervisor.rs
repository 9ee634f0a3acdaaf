//! The supervisor: causes, outcomes, the deadline, the abort.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use adieu::testing::settle;
use adieu::{Cause, Clock, Context, Outcome, Signal, Supervisor};
use async_channel::unbounded;
use futures_lite::future;
use smol::LocalExecutor;

use crate::rig::Rig;

/// Signals closer together than this are one request.
const PAIR: Duration = Duration::from_millis(100);

async fn until_told(cx: Context) -> io::Result<()> {
    cx.shutdown().begun().await;
    Ok(())
}

async fn for_ever(_cx: Context) -> io::Result<()> {
    pending().await
}

async fn at_once(_cx: Context) -> io::Result<()> {
    Ok(())
}

async fn fails(_cx: Context) -> io::Result<()> {
    Err(io::Error::other("no luck"))
}

async fn panics(_cx: Context) -> io::Result<()> {
    panic!("oh no")
}

/// Is told, and then takes so many seconds to end.
fn slow(seconds: u64) -> impl AsyncFnOnce(Context) -> io::Result<()> {
    async move |cx: Context| {
        cx.shutdown().begun().await;
        cx.sleep(Duration::from_secs(seconds)).await;
        Ok(())
    }
}

#[test]
fn the_first_signal_is_the_cause_and_all_services_are_told() {
    let rig = Rig::start(|s| s.service("a", until_told).service("b", until_told));
    rig.signal(Signal::Term);
    let report = rig.report();
    assert_eq!(report.cause, Cause::Signal(Signal::Term));
    assert_eq!(report.took, Duration::ZERO);
    assert!(matches!(report.service("a").unwrap().outcome, Outcome::Finished));
    assert!(matches!(report.service("b").unwrap().outcome, Outcome::Finished));
    assert!(report.is_graceful());
    assert_eq!(report.exit_status(), 0);
}

#[test]
fn services_drain_side_by_side_and_not_one_after_the_other() {
    let rig = Rig::start(|s| s.service("a", |cx| slow(3)(cx)).service("b", |cx| slow(3)(cx)));
    rig.signal(Signal::Int);
    rig.pass(Duration::from_secs(3));
    let report = rig.report();
    assert_eq!(report.took, Duration::from_secs(3));
    assert!(report.is_graceful());
}

#[test]
fn a_trigger_begins_shutdown_and_repeats_are_no_ops() {
    let mut trigger = None;
    let rig = Rig::start(|s| {
        trigger = Some(s.trigger());
        s.service("a", until_told)
    });
    let trigger = trigger.unwrap();
    trigger.shut_down();
    trigger.shut_down();
    let report = rig.report();
    assert_eq!(report.cause, Cause::Trigger);
    assert!(report.is_graceful());
}

#[test]
fn a_trigger_pulled_before_the_run_is_honoured() {
    let rig = Rig::start(|s| {
        s.trigger().shut_down();
        s.service("a", until_told)
    });
    assert_eq!(rig.report().cause, Cause::Trigger);
}

#[test]
fn a_signal_sent_before_the_run_is_honoured() {
    let executor = LocalExecutor::new();
    let (signals, received) = unbounded();
    signals.try_send(Signal::Term).unwrap();
    let run = executor.spawn(Supervisor::new().service("a", until_told).run(received));
    settle(&executor);
    let report = future::block_on(run).unwrap();
    assert_eq!(report.cause, Cause::Signal(Signal::Term));
}

#[test]
fn dropping_every_trigger_asks_for_nothing() {
    let rig = Rig::start(|s| {
        drop(s.trigger());
        s.service("a", until_told)
    });
    assert!(!rig.run.is_finished());
}

#[test]
fn the_end_of_the_signal_stream_is_not_a_signal() {
    let rig = Rig::start(|s| s.service("a", until_told));
    rig.signals.close();
    settle(&rig.executor);
    assert!(!rig.run.is_finished());
}

#[test]
fn a_service_that_fails_shuts_the_others_down_and_is_named() {
    let rig = Rig::start(|s| s.service("good", until_told).service("bad", fails));
    let report = rig.report();
    assert_eq!(report.cause, Cause::Failed("bad".to_owned()));
    let outcome = &report.service("bad").unwrap().outcome;
    assert!(matches!(outcome, Outcome::Failed(error) if error.to_string() == "no luck"));
    assert!(matches!(report.service("good").unwrap().outcome, Outcome::Finished));
    assert_eq!(report.exit_status(), 1);
}

#[test]
fn a_service_that_panics_is_contained_and_is_a_failure() {
    let rig = Rig::start(|s| s.service("good", until_told).service("bad", panics));
    let report = rig.report();
    assert_eq!(report.cause, Cause::Failed("bad".to_owned()));
    let outcome = &report.service("bad").unwrap().outcome;
    assert!(matches!(outcome, Outcome::Panicked(message) if message == "oh no"));
    assert_eq!(report.exit_status(), 1);
}

#[test]
fn all_errors_are_kept_with_their_names() {
    let rig = Rig::start(|s| s.service("one", fails).service("two", fails));
    let report = rig.report();
    assert_eq!(report.cause, Cause::Failed("one".to_owned()));
    assert!(report.services.iter().all(|service| service.outcome.is_failure()));
}

#[test]
fn a_failure_of_the_last_service_is_a_failure_and_not_a_finish() {
    let rig = Rig::start(|s| s.service("one", at_once).service("two", fails));
    let report = rig.report();
    assert_eq!(report.cause, Cause::Failed("two".to_owned()));
    assert_eq!(report.exit_status(), 1);
}

#[test]
fn a_service_that_ends_early_just_ends() {
    let rig = Rig::start(|s| s.service("short", at_once).service("long", until_told));
    assert!(!rig.run.is_finished());
    rig.signal(Signal::Term);
    assert!(rig.report().is_graceful());
}

#[test]
fn when_all_services_have_ended_the_run_is_over() {
    let rig = Rig::start(|s| s.service("a", at_once).service("b", at_once));
    let report = rig.report();
    assert_eq!(report.cause, Cause::AllFinished);
    assert_eq!(report.exit_status(), 0);
}

#[test]
fn a_supervisor_without_services_is_done_at_once() {
    let rig = Rig::start(|s| s);
    assert_eq!(rig.report().cause, Cause::AllFinished);
}

#[test]
fn the_deadline_is_ten_seconds_after_the_cause_by_default() {
    let rig = Rig::start(|s| s.service("stuck", for_ever));
    rig.signal(Signal::Term);
    rig.pass(Duration::from_millis(9_950));
    assert!(!rig.run.is_finished());
    rig.pass(Duration::from_millis(50));
    let report = rig.report();
    assert_eq!(report.took, adieu::GRACE);
    assert_eq!(report.exit_status(), 124);
}

#[test]
fn a_service_that_misses_the_deadline_is_cut_off_and_named() {
    let rig = Rig::start(|s| {
        s.grace(Duration::from_secs(1)).service("stuck", for_ever).service("good", until_told)
    });
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(1));
    let report = rig.report();
    assert!(matches!(report.service("stuck").unwrap().outcome, Outcome::CutOff));
    assert!(matches!(report.service("good").unwrap().outcome, Outcome::Finished));
    let stragglers: Vec<_> = report.stragglers.iter().map(|s| s.to_string()).collect();
    assert_eq!(stragglers, ["stuck: still running"]);
    assert!(!report.is_graceful());
}

#[test]
fn whoever_is_cut_off_is_dropped_before_the_report_is_there() {
    struct Guard(Rc<Cell<bool>>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let dropped = Rc::new(Cell::new(false));
    let guard = Guard(dropped.clone());
    let rig = Rig::start(|s| {
        s.grace(Duration::from_secs(1)).service("stuck", |_cx| async move {
            let _guard = guard;
            pending::<io::Result<()>>().await
        })
    });
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(1));
    rig.report();
    assert!(dropped.get());
}

#[test]
fn a_second_signal_aborts_at_once() {
    let rig = Rig::start(|s| s.service("stuck", for_ever));
    rig.signal(Signal::Term);
    assert!(!rig.run.is_finished());
    rig.pass(PAIR);
    rig.signal(Signal::Int);
    let report = rig.report();
    assert_eq!(report.cause, Cause::Signal(Signal::Term));
    assert_eq!(report.aborted, Some(Signal::Int));
    assert_eq!(report.exit_status(), 130);
    assert_eq!(report.stragglers.len(), 1);
}

#[test]
fn the_exit_status_of_an_abort_tells_the_second_signal() {
    let rig = Rig::start(|s| s.service("stuck", for_ever));
    rig.signal(Signal::Int);
    rig.pass(PAIR);
    rig.signal(Signal::Term);
    assert_eq!(rig.report().exit_status(), 143);
}

#[test]
fn what_a_service_spawned_is_awaited_after_it_returned() {
    let rig = Rig::start(|s| {
        s.service("a", |cx: Context| async move {
            let task = cx.clone();
            cx.spawn(async move {
                task.shutdown().begun().await;
                task.sleep(Duration::from_secs(2)).await;
            });
            io::Result::Ok(())
        })
    });
    assert!(!rig.run.is_finished(), "its task still runs");
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(2));
    let report = rig.report();
    assert_eq!(report.took, Duration::from_secs(2));
    assert!(report.is_graceful());
}

#[test]
fn a_spawned_task_that_misses_the_deadline_makes_its_service_a_straggler() {
    let rig = Rig::start(|s| {
        s.grace(Duration::from_secs(1)).service("a", |cx: Context| async move {
            cx.spawn(pending());
            io::Result::Ok(())
        })
    });
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(1));
    let report = rig.report();
    assert!(matches!(report.service("a").unwrap().outcome, Outcome::CutOff));
    assert_eq!(report.stragglers.len(), 1);
    assert_eq!(report.exit_status(), 124);
}

#[test]
fn a_service_can_see_how_much_time_is_left() {
    let (seen, left) = unbounded();
    let rig = Rig::start(|s| {
        s.service("a", |cx: Context| async move {
            seen.send(cx.time_left()).await.unwrap();
            cx.shutdown().begun().await;
            cx.sleep(Duration::from_secs(4)).await;
            seen.send(cx.time_left()).await.unwrap();
            io::Result::Ok(())
        })
    });
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(4));
    assert_eq!(left.try_recv(), Ok(None));
    assert_eq!(left.try_recv(), Ok(Some(Duration::from_secs(6))));
}

#[test]
fn an_endless_grace_period_never_cuts_off() {
    let rig = Rig::start(|s| s.grace(Duration::MAX).service("a", |cx| slow(3600)(cx)));
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(3600));
    assert!(rig.report().is_graceful());
}

#[test]
fn dropping_the_run_drops_the_services() {
    let (alive, dropped) = unbounded::<()>();
    let rig = Rig::start(|s| {
        s.service("a", |_cx| async move {
            let _alive = alive;
            pending::<io::Result<()>>().await
        })
    });
    let Rig { executor, run, .. } = rig;
    drop(run);
    settle(&executor);
    assert!(dropped.is_closed());
}

#[test]
fn the_report_prints_who_did_what() {
    let rig = Rig::start(|s| s.grace(Duration::from_secs(1)).service("stuck", for_ever));
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(1));
    let printed = rig.report().to_string();
    assert!(printed.starts_with("shut down by SIGTERM in 1.0 s\n"), "{printed}");
    assert!(printed.contains("stuck: cut off; 0 accepted"), "{printed}");
    assert!(printed.ends_with("cut off: stuck: still running"), "{printed}");
}

#[test]
fn a_context_that_is_kept_keeps_its_service_and_after_the_run_spawns_nothing() {
    let kept = Rc::new(RefCell::new(None));
    let keep = kept.clone();
    let rig = Rig::start(|s| {
        s.service("keeper", async move |cx: Context| {
            *keep.borrow_mut() = Some(cx);
            io::Result::Ok(())
        })
    });
    assert!(!rig.run.is_finished(), "it may still spawn");
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(10));
    assert_eq!(rig.report().stragglers[0].to_string(), "keeper: still running");

    let (task, dropped) = unbounded::<()>();
    kept.borrow().as_ref().unwrap().spawn(async move {
        task.close();
        pending().await
    });
    assert!(dropped.is_closed() && Rc::strong_count(&kept) == 1);
}

#[test]
fn a_service_knows_its_deadline_and_may_sleep_for_ever() {
    let deadlines = Rc::new(RefCell::new(Vec::new()));
    let noted = deadlines.clone();
    let rig = Rig::start(|s| {
        s.service("sleeper", async move |cx: Context| {
            noted.borrow_mut().push(cx.deadline());
            cx.shutdown().begun().await;
            noted.borrow_mut().push(cx.deadline());
            cx.sleep(Duration::MAX).await;
            io::Result::Ok(())
        })
    });
    rig.pass(Duration::from_secs(1));
    let ten_seconds_on = rig.clock.now() + Duration::from_secs(10);
    rig.signal(Signal::Term);
    assert_eq!(*deadlines.borrow(), [None, Some(ten_seconds_on)]);
    rig.pass(Duration::from_secs(10));
    assert!(matches!(rig.report().services[0].outcome, Outcome::CutOff));
}

#[test]
fn the_deadline_that_services_see_comes_forward_with_sigquit() {
    let rig = Rig::start(|s| {
        s.service("a", async |cx: Context| {
            cx.shutdown().begun().await;
            let at_first = cx.time_left();
            while cx.time_left() == at_first {
                future::yield_now().await;
            }
            io::Result::Ok(())
        })
    });
    rig.signals.try_send(Signal::Term).unwrap();
    assert!((0..100).all(|_| rig.executor.try_tick()));
    assert!(!rig.run.is_finished());
    rig.signal(Signal::Quit);
    assert_eq!(rig.report().exit_status(), 0);
}

/// How shutdown can begin before the run does.
#[derive(Clone, Copy, Debug)]
enum Before {
    Trigger,
    Signal(Signal),
}

#[test]
fn every_service_runs_and_is_told_when_shutdown_began_before_the_run() {
    let befores = [Before::Trigger, Before::Signal(Signal::Term), Before::Signal(Signal::Quit)];
    for before in befores {
        for grace in [Duration::ZERO, adieu::GRACE] {
            let (cleaned_up, seen) = unbounded();
            // Needs a few turns, and no time.
            let cleans_up = |name: &'static str| {
                let cleaned_up = cleaned_up.clone();
                async move |cx: Context| {
                    cx.shutdown().begun().await;
                    for _ in 0..10 {
                        future::yield_now().await;
                    }
                    cx.spawn(async move { cleaned_up.try_send(name).unwrap() });
                    io::Result::Ok(())
                }
            };
            let executor = LocalExecutor::new();
            let (signals, received) = unbounded();
            let supervisor = Supervisor::new()
                .grace(grace)
                .service("one", cleans_up("one"))
                .service("two", cleans_up("two"))
                .next_stage()
                .service("last", cleans_up("last"));
            match before {
                Before::Trigger => supervisor.trigger().shut_down(),
                Before::Signal(signal) => signals.try_send(signal).unwrap(),
            }
            let run = executor.spawn(supervisor.run(received));
            settle(&executor);
            let report = future::block_on(run).expect("names differ");
            assert!(report.is_graceful(), "{before:?}, {grace:?}: {report}");
            let order: Vec<_> = std::iter::from_fn(|| seen.try_recv().ok()).collect();
            assert_eq!(order, ["one", "two", "last"], "{before:?}, {grace:?}");
        }
    }
}
