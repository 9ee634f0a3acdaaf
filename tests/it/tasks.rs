//! Tasks of a service: how they are named, counted and awaited, and work off the thread.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use adieu::testing::settle;
use adieu::{Context, Outcome, Report, Signal, Status, Supervisor};
use async_channel::bounded;
use futures_lite::stream;

use crate::bound;
use crate::rig::Rig;

const SECOND: Duration = Duration::from_secs(1);

/// What a run has cut off, in words.
fn cut_off(report: &Report) -> Vec<String> {
    report.stragglers.iter().map(|straggler| straggler.to_string()).collect()
}

/// A run of one service, told to stop and out of time.
fn out_of_time(service: impl AsyncFnOnce(Context) -> io::Result<()> + 'static) -> Report {
    let rig = Rig::start(|s| s.grace(SECOND).service("mailer", async move |cx| service(cx).await));
    rig.signal(Signal::Term);
    rig.pass(SECOND);
    rig.report()
}

#[test]
fn a_task_that_misses_the_deadline_is_named_by_its_place_and_counted_with_those_like_it() {
    let line = Rc::new(Cell::new(0));
    let noted = line.clone();
    let report = out_of_time(async move |cx| {
        noted.set(line!() + 2);
        for _ in 0..2 {
            cx.spawn(pending());
        }
        cx.spawn(async {});
        Ok(())
    });
    let place = format!("mailer: task spawned at {}:{} (2)", file!(), line.get());
    assert_eq!(cut_off(&report), [place]);
    assert!(matches!(report.service("mailer").unwrap().outcome, Outcome::CutOff));
    assert_eq!(report.exit_status(), 124);
    let tasks = report.stragglers[0].tasks.as_ref().unwrap();
    assert_eq!(tasks.count, 2);
}

#[test]
fn a_task_with_a_name_is_named_by_it_and_without_one_by_its_place() {
    let report = out_of_time(async |cx| {
        cx.spawn_named("flush", pending());
        cx.spawn_named("flush", pending());
        cx.spawn_named("a\nb\u{202e}", pending());
        cx.spawn_named("", pending());
        Ok(())
    });
    let cut_off = cut_off(&report);
    assert_eq!(cut_off.len(), 3, "{cut_off:?}");
    assert!(cut_off[0].starts_with("mailer: task spawned at tests/it/tasks.rs:"), "{cut_off:?}");
    assert_eq!(cut_off[1..], ["mailer: task a\\nb\\u{202e}", "mailer: task flush (2)"]);
}

#[test]
fn a_service_that_has_not_returned_is_named_beside_its_tasks() {
    let report = out_of_time(async |cx| {
        cx.spawn_named("flush", pending());
        pending().await
    });
    assert_eq!(cut_off(&report), ["mailer: still running", "mailer: task flush"]);
}

#[test]
fn the_status_names_tasks_while_they_are_waited_for_and_forgets_those_that_are_done() {
    let seen: Rc<RefCell<Option<Status>>> = Rc::default();
    let (status, (ended, end)) = (seen.clone(), bounded::<()>(1));
    let rig = Rig::start(|s| {
        s.service("mailer", |cx: Context| async move {
            *status.borrow_mut() = Some(cx.status().clone());
            for seconds in [3, 5, 7] {
                let inner = cx.clone();
                cx.spawn_named("flush", async move {
                    inner.shutdown().begun().await;
                    inner.sleep(SECOND * seconds).await;
                });
            }
            drop(end);
            io::Result::Ok(())
        })
    });
    assert!(ended.is_closed(), "the service has returned");
    rig.signal(Signal::Term);
    let status = seen.take().unwrap();
    let named = |most| {
        let (named, more) = status.stragglers(most);
        (named.iter().map(|straggler| straggler.to_string()).collect::<Vec<_>>(), more)
    };
    assert_eq!(named(9), (vec!["mailer: task flush (3)".to_owned()], 0));
    assert_eq!(named(0), (vec![], 1));
    rig.pass(SECOND * 5);
    assert_eq!(named(9), (vec!["mailer: task flush".to_owned()], 0));
    rig.pass(SECOND * 2);
    let report = rig.report();
    assert!(report.is_graceful());
    assert_eq!(report.took, SECOND * 7);
}

#[test]
fn a_panic_in_a_task_takes_it_off_the_books() {
    let report = out_of_time(async |cx| {
        cx.spawn_named("panics", async { panic!("oh no") });
        cx.spawn_named("flush", pending());
        Ok(())
    });
    assert_eq!(cut_off(&report), ["mailer: task flush"]);
}

/// Lets blocking work end, and waits for what only another thread can bring about.
fn run(supervisor: Supervisor) -> Report {
    bound::block_on(supervisor.run(stream::pending())).expect("a run that could begin")
}

#[test]
fn blocking_work_is_done_on_another_thread_and_hands_its_result_back() {
    let report = run(Supervisor::new().service("mailer", |cx: Context| async move {
        let here = std::thread::current().id();
        let there = cx.unblock(|| std::thread::current().id()).await;
        assert_ne!(here, there);
        io::Result::Ok(())
    }));
    assert!(report.is_graceful(), "{report}");
}

#[test]
fn the_drain_waits_for_blocking_work_of_which_nobody_awaits_the_result() {
    let (release, released) = bounded::<()>(1);
    let (done, is_done) = bounded::<()>(1);
    let report = run(Supervisor::new().service("mailer", |cx: Context| async move {
        drop(cx.unblock(move || {
            let _ = released.recv_blocking();
            let _ = done.try_send(());
        }));
        cx.spawn(async move {
            futures_lite::future::yield_now().await;
            drop(release);
        });
        io::Result::Ok(())
    }));
    assert!(report.is_graceful(), "{report}");
    assert_eq!(is_done.try_recv(), Ok(()), "the run was over before the work was");
}

#[test]
fn a_panic_in_blocking_work_is_one_of_who_awaits_it() {
    let report = run(Supervisor::new().service("mailer", |cx: Context| async move {
        cx.unblock(|| panic!("no such table")).await;
        io::Result::Ok(())
    }));
    let outcome = &report.service("mailer").unwrap().outcome;
    assert_eq!(outcome.to_string(), "panicked: no such table");
}

#[test]
fn the_deadline_does_not_wait_for_blocking_work_and_names_it() {
    // Held by the test: the work cannot end before the run has.
    let (hold, held) = bounded::<()>(1);
    let (begin, begun) = bounded::<()>(1);
    let (line, noted) = {
        let line = Rc::new(Cell::new(0));
        (line.clone(), line)
    };
    let rig = Rig::start(|s| {
        s.grace(SECOND).service("mailer", |cx: Context| async move {
            noted.set(line!() + 1);
            let work = cx.unblock(move || {
                drop(begin);
                let _ = held.recv_blocking();
            });
            work.await;
            io::Result::Ok(())
        })
    });
    // It is under way: no queue that could be emptied.
    let _ = bound::block_on(begun.recv());
    settle(&rig.executor);
    rig.signal(Signal::Term);
    rig.pass(SECOND);
    let report = rig.report();
    let named = format!("mailer: blocking work begun at {}:{}", file!(), line.get());
    assert_eq!(cut_off(&report), ["mailer: still running".to_owned(), named]);
    assert_eq!(report.took, SECOND);
    drop(hold);
}

#[test]
#[cfg(feature = "http")]
fn a_task_of_a_handler_has_its_time_when_the_last_connection_and_the_server_have_ended() {
    use adieu::http::http_types::{Request, Response, Result};
    use adieu::http::{Exchange, Http};

    let left = Rc::new(RefCell::new(Vec::new()));
    let noted = left.clone();
    let http = Http::new(move |_: Request, exchange: Exchange| {
        let (noted, cx) = (noted.clone(), exchange.clone());
        async move {
            exchange.spawn(async move {
                for _ in 0..3 {
                    cx.sleep(SECOND).await;
                    noted.borrow_mut().push(cx.time_left());
                }
            });
            Result::Ok(Response::from("hello"))
        }
    });
    let (rig, network) = crate::rig::serve("web", http);
    let client = crate::rig::ask(&rig, &network, crate::rig::GET);
    rig.signal(Signal::Term);
    drop(client);
    rig.pass(3 * SECOND);
    let report = rig.report();
    assert!(report.is_graceful(), "{report}");
    let expected = [9, 8, 7].map(|seconds| Some(seconds * SECOND));
    assert_eq!(*left.borrow(), expected);
}
