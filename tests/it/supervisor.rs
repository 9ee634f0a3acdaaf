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

use crate::bench::Bench;

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
    let bench = Bench::start(|s| s.service("a", until_told).service("b", until_told));
    bench.signal(Signal::Term);
    let report = bench.report();
    assert_eq!(report.cause, Cause::Signal(Signal::Term));
    assert_eq!(report.took, Duration::ZERO);
    assert!(matches!(report.service("a").unwrap().outcome, Outcome::Finished));
    assert!(matches!(report.service("b").unwrap().outcome, Outcome::Finished));
    assert!(report.is_graceful());
    assert_eq!(report.exit_status(), 0);
}

#[test]
fn services_drain_side_by_side_and_not_one_after_the_other() {
    let bench = Bench::start(|s| s.service("a", |cx| slow(3)(cx)).service("b", |cx| slow(3)(cx)));
    bench.signal(Signal::Int);
    bench.pass(Duration::from_secs(3));
    let report = bench.report();
    assert_eq!(report.took, Duration::from_secs(3));
    assert!(report.is_graceful());
}

#[test]
fn a_trigger_begins_shutdown_and_repeats_are_no_ops() {
    let mut trigger = None;
    let bench = Bench::start(|s| {
        trigger = Some(s.trigger());
        s.service("a", until_told)
    });
    let trigger = trigger.unwrap();
    trigger.shut_down();
    trigger.shut_down();
    let report = bench.report();
    assert_eq!(report.cause, Cause::Trigger);
    assert!(report.is_graceful());
}

#[test]
fn a_trigger_pulled_before_the_run_is_honoured() {
    let bench = Bench::start(|s| {
        s.trigger().shut_down();
        s.service("a", until_told)
    });
    assert_eq!(bench.report().cause, Cause::Trigger);
}

#[test]
fn a_signal_sent_before_the_run_is_honoured() {
    let executor = LocalExecutor::new();
    let (signals, received) = unbounded();
    signals.try_send(Signal::Term).unwrap();
    let run = executor.spawn(Supervisor::new().service("a", until_told).run(received));
    settle(&executor);
    assert_eq!(future::block_on(run).cause, Cause::Signal(Signal::Term));
}

#[test]
fn dropping_every_trigger_asks_for_nothing() {
    let bench = Bench::start(|s| {
        drop(s.trigger());
        s.service("a", until_told)
    });
    assert!(!bench.run.is_finished());
}

#[test]
fn the_end_of_the_signal_stream_is_not_a_signal() {
    let bench = Bench::start(|s| s.service("a", until_told));
    bench.signals.close();
    settle(&bench.executor);
    assert!(!bench.run.is_finished());
}

#[test]
fn a_service_that_fails_shuts_the_others_down_and_is_named() {
    let bench = Bench::start(|s| s.service("good", until_told).service("bad", fails));
    let report = bench.report();
    assert_eq!(report.cause, Cause::Failed("bad".to_owned()));
    let outcome = &report.service("bad").unwrap().outcome;
    assert!(matches!(outcome, Outcome::Failed(error) if error.to_string() == "no luck"));
    assert!(matches!(report.service("good").unwrap().outcome, Outcome::Finished));
    assert_eq!(report.exit_status(), 1);
}

#[test]
fn a_service_that_panics_is_contained_and_is_a_failure() {
    let bench = Bench::start(|s| s.service("good", until_told).service("bad", panics));
    let report = bench.report();
    assert_eq!(report.cause, Cause::Failed("bad".to_owned()));
    let outcome = &report.service("bad").unwrap().outcome;
    assert!(matches!(outcome, Outcome::Panicked(message) if message == "oh no"));
    assert_eq!(report.exit_status(), 1);
}

#[test]
fn all_errors_are_kept_with_their_names() {
    let bench = Bench::start(|s| s.service("one", fails).service("two", fails));
    let report = bench.report();
    assert_eq!(report.cause, Cause::Failed("one".to_owned()));
    assert!(report.services.iter().all(|service| service.outcome.is_failure()));
}

#[test]
fn a_failure_of_the_last_service_is_a_failure_and_not_a_finish() {
    let bench = Bench::start(|s| s.service("one", at_once).service("two", fails));
    let report = bench.report();
    assert_eq!(report.cause, Cause::Failed("two".to_owned()));
    assert_eq!(report.exit_status(), 1);
}

#[test]
fn a_service_that_ends_early_just_ends() {
    let bench = Bench::start(|s| s.service("short", at_once).service("long", until_told));
    assert!(!bench.run.is_finished());
    bench.signal(Signal::Term);
    assert!(bench.report().is_graceful());
}

#[test]
fn when_all_services_have_ended_the_run_is_over() {
    let bench = Bench::start(|s| s.service("a", at_once).service("b", at_once));
    let report = bench.report();
    assert_eq!(report.cause, Cause::AllFinished);
    assert_eq!(report.exit_status(), 0);
}

#[test]
fn a_supervisor_without_services_is_done_at_once() {
    let bench = Bench::start(|s| s);
    assert_eq!(bench.report().cause, Cause::AllFinished);
}

#[test]
fn the_deadline_is_ten_seconds_after_the_cause_by_default() {
    let bench = Bench::start(|s| s.service("stuck", for_ever));
    bench.signal(Signal::Term);
    bench.pass(Duration::from_millis(9_950));
    assert!(!bench.run.is_finished());
    bench.pass(Duration::from_millis(50));
    let report = bench.report();
    assert_eq!(report.took, adieu::GRACE);
    assert_eq!(report.exit_status(), 124);
}

#[test]
fn a_service_that_misses_the_deadline_is_cut_off_and_named() {
    let bench = Bench::start(|s| {
        s.grace(Duration::from_secs(1)).service("stuck", for_ever).service("good", until_told)
    });
    bench.signal(Signal::Term);
    bench.pass(Duration::from_secs(1));
    let report = bench.report();
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
    let bench = Bench::start(|s| {
        s.grace(Duration::from_secs(1)).service("stuck", |_cx| async move {
            let _guard = guard;
            pending::<io::Result<()>>().await
        })
    });
    bench.signal(Signal::Term);
    bench.pass(Duration::from_secs(1));
    bench.report();
    assert!(dropped.get());
}

#[test]
fn a_second_signal_aborts_at_once() {
    let bench = Bench::start(|s| s.service("stuck", for_ever));
    bench.signal(Signal::Term);
    assert!(!bench.run.is_finished());
    bench.signal(Signal::Int);
    let report = bench.report();
    assert_eq!(report.cause, Cause::Signal(Signal::Term));
    assert_eq!(report.aborted, Some(Signal::Int));
    assert_eq!(report.exit_status(), 130);
    assert_eq!(report.stragglers.len(), 1);
}

#[test]
fn the_exit_status_of_an_abort_tells_the_second_signal() {
    let bench = Bench::start(|s| s.service("stuck", for_ever));
    bench.signal(Signal::Int);
    bench.signal(Signal::Term);
    assert_eq!(bench.report().exit_status(), 143);
}

#[test]
fn what_a_service_spawned_is_awaited_after_it_returned() {
    let bench = Bench::start(|s| {
        s.service("a", |cx: Context| async move {
            let task = cx.clone();
            cx.spawn(async move {
                task.shutdown().begun().await;
                task.sleep(Duration::from_secs(2)).await;
            });
            io::Result::Ok(())
        })
    });
    assert!(!bench.run.is_finished(), "its task still runs");
    bench.signal(Signal::Term);
    bench.pass(Duration::from_secs(2));
    let report = bench.report();
    assert_eq!(report.took, Duration::from_secs(2));
    assert!(report.is_graceful());
}

#[test]
fn a_spawned_task_that_misses_the_deadline_makes_its_service_a_straggler() {
    let bench = Bench::start(|s| {
        s.grace(Duration::from_secs(1)).service("a", |cx: Context| async move {
            cx.spawn(pending());
            io::Result::Ok(())
        })
    });
    bench.signal(Signal::Term);
    bench.pass(Duration::from_secs(1));
    let report = bench.report();
    assert!(matches!(report.service("a").unwrap().outcome, Outcome::CutOff));
    assert_eq!(report.stragglers.len(), 1);
    assert_eq!(report.exit_status(), 124);
}

#[test]
fn a_service_can_see_how_much_time_is_left() {
    let (seen, left) = unbounded();
    let bench = Bench::start(|s| {
        s.service("a", |cx: Context| async move {
            seen.send(cx.time_left()).await.unwrap();
            cx.shutdown().begun().await;
            cx.sleep(Duration::from_secs(4)).await;
            seen.send(cx.time_left()).await.unwrap();
            io::Result::Ok(())
        })
    });
    bench.signal(Signal::Term);
    bench.pass(Duration::from_secs(4));
    assert_eq!(left.try_recv(), Ok(None));
    assert_eq!(left.try_recv(), Ok(Some(Duration::from_secs(6))));
}

#[test]
fn an_endless_grace_period_never_cuts_off() {
    let bench = Bench::start(|s| s.grace(Duration::MAX).service("a", |cx| slow(3600)(cx)));
    bench.signal(Signal::Term);
    bench.pass(Duration::from_secs(3600));
    assert!(bench.report().is_graceful());
}

#[test]
fn dropping_the_run_drops_the_services() {
    let (alive, dropped) = unbounded::<()>();
    let bench = Bench::start(|s| {
        s.service("a", |_cx| async move {
            let _alive = alive;
            pending::<io::Result<()>>().await
        })
    });
    let Bench { executor, run, .. } = bench;
    drop(run);
    settle(&executor);
    assert!(dropped.is_closed());
}

#[test]
fn the_report_prints_who_did_what() {
    let bench = Bench::start(|s| s.grace(Duration::from_secs(1)).service("stuck", for_ever));
    bench.signal(Signal::Term);
    bench.pass(Duration::from_secs(1));
    let printed = bench.report().to_string();
    assert!(printed.starts_with("shut down by SIGTERM in 1.0 s\n"), "{printed}");
    assert!(printed.contains("stuck: cut off; 0 accepted"), "{printed}");
    assert!(printed.ends_with("cut off: stuck: still running"), "{printed}");
}

#[test]
fn a_context_that_is_kept_keeps_its_service_and_after_the_run_spawns_nothing() {
    let kept = Rc::new(RefCell::new(None));
    let keep = kept.clone();
    let bench = Bench::start(|s| {
        s.service("keeper", async move |cx: Context| {
            *keep.borrow_mut() = Some(cx);
            io::Result::Ok(())
        })
    });
    assert!(!bench.run.is_finished(), "it may still spawn");
    bench.signal(Signal::Term);
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.report().stragglers[0].to_string(), "keeper: still running");

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
    let bench = Bench::start(|s| {
        s.service("sleeper", async move |cx: Context| {
            noted.borrow_mut().push(cx.deadline());
            cx.shutdown().begun().await;
            noted.borrow_mut().push(cx.deadline());
            cx.sleep(Duration::MAX).await;
            io::Result::Ok(())
        })
    });
    bench.pass(Duration::from_secs(1));
    let ten_seconds_on = bench.clock.now() + Duration::from_secs(10);
    bench.signal(Signal::Term);
    assert_eq!(*deadlines.borrow(), [None, Some(ten_seconds_on)]);
    bench.pass(Duration::from_secs(10));
    assert!(matches!(bench.report().services[0].outcome, Outcome::CutOff));
}
