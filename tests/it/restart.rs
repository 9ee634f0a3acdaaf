//! Services that are started anew when they fail.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use adieu::testing::ManualClock;
use adieu::{
    BoxError, Cause, Clock, Context, Counts, GaveUp, Outcome, Report, RestartPolicy, Service,
    Signal, Supervisor, restart,
};

use crate::rig::Rig;

const SECOND: Duration = Duration::from_secs(1);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// When a worker was started, since the first time.
type Starts = Rc<RefCell<Vec<Duration>>>;

/// A worker that fails so many times at once, or panics, in turns, and then works.
fn worker(fails: usize, policy: RestartPolicy, clock: &ManualClock) -> (impl Service, Starts) {
    let (clock, began) = (clock.clone(), clock.now());
    let starts = Starts::default();
    let noted = starts.clone();
    let service = restart(policy, move || {
        noted.borrow_mut().push(clock.now() - began);
        let number = noted.borrow().len();
        async move |cx: Context| {
            if number % 2 == 0 && number <= fails {
                panic!("panic {number}");
            } else if number <= fails {
                return Err(io::Error::other(format!("failure {number}")));
            }
            cx.shutdown().begun().await;
            Ok(())
        }
    });
    (service, starts)
}

/// A run of a worker beside a service that works.
fn start(fails: usize, policy: RestartPolicy) -> (Rig, Starts) {
    let clock = ManualClock::new();
    let (service, starts) = worker(fails, policy, &clock);
    let rig = Rig::start_by(clock, |s| s.service("worker", service).service("web", until_told));
    (rig, starts)
}

async fn until_told(cx: Context) -> io::Result<()> {
    cx.shutdown().begun().await;
    Ok(())
}

/// Lets the time go from one sleep to the next, for so long.
fn pass(rig: &Rig, time: Duration) {
    let end = rig.clock.now() + time;
    while rig.clock.now() < end && !rig.run.is_finished() {
        rig.pass(millis(10));
    }
}

fn counts<'a>(report: &'a Report, name: &str) -> &'a Counts {
    &report.service(name).unwrap().counts
}

#[test]
fn a_worker_that_fails_three_times_and_then_works_is_restarted_at_the_documented_times() {
    let (rig, starts) = start(3, RestartPolicy::new().jitter(0.0));
    pass(&rig, SECOND * 10);
    assert_eq!(*starts.borrow(), [0, 100, 300, 700].map(millis));
    rig.signal(Signal::Term);
    let report = rig.report();
    assert_eq!(report.cause, Cause::Signal(Signal::Term));
    assert!(report.is_graceful(), "{report}");
    assert_eq!(counts(&report, "worker").restarted, 3);
    assert_eq!(counts(&report, "web").restarted, 0);
    assert!(report.to_string().contains("worker: finished; "), "{report}");
    assert_eq!(report.to_string().matches(", 3 restarts").count(), 1, "{report}");
}

#[test]
fn by_default_chance_takes_up_to_half_of_each_pause() {
    let (rig, starts) = start(4, RestartPolicy::new());
    // The steps of time are coarser than the pauses.
    pass(&rig, SECOND * 3);
    let starts = starts.borrow();
    let pauses: Vec<_> = starts.windows(2).map(|two| two[1] - two[0]).collect();
    for (pause, whole) in pauses.iter().zip([100, 200, 400, 800].map(millis)) {
        assert!(*pause >= whole / 2 && *pause <= whole + millis(10), "{pauses:?}");
    }
    assert_eq!(pauses.len(), 4);
}

#[test]
fn a_worker_that_always_fails_is_given_up_and_its_last_error_and_their_number_are_named() {
    let (rig, starts) = start(usize::MAX, RestartPolicy::new().jitter(0.0));
    pass(&rig, SECOND * 60);
    assert_eq!(starts.borrow().len(), 10);
    assert_eq!(starts.borrow().last(), Some(&millis(51_100)));
    let report = rig.report();
    assert_eq!(report.cause, Cause::Failed("worker".to_owned()));
    assert_eq!(report.exit_status(), 1);
    assert_eq!(counts(&report, "worker").restarted, 9);
    let Outcome::Failed(error) = &report.service("worker").unwrap().outcome else { panic!() };
    assert_eq!(error.to_string(), "gave up after 10 failures: panicked: panic 10");
    let gave_up = error.downcast_ref::<GaveUp>().unwrap();
    assert_eq!((gave_up.failures, gave_up.last.to_string()), (10, "panicked: panic 10".to_owned()));
    assert!(matches!(report.service("web").unwrap().outcome, Outcome::Finished));
}

#[test]
fn failures_that_are_far_apart_are_not_too_many_and_a_healthy_while_forgets_the_pauses() {
    let clock = ManualClock::new();
    let (began, now) = (clock.now(), clock.clone());
    let starts = Starts::default();
    let noted = starts.clone();
    // Runs for 2 s, which is healthy, each third time.
    let make = move || {
        noted.borrow_mut().push(now.now() - began);
        let number = noted.borrow().len();
        async move |cx: Context| {
            cx.sleep(SECOND * if number % 3 == 0 { 2 } else { 0 }).await;
            Err::<(), _>(io::Error::other("no luck"))
        }
    };
    let policy = RestartPolicy::new().jitter(0.0).pause(SECOND, SECOND * 60);
    let policy = policy.healthy_after(SECOND * 2).give_up_after(4, SECOND * 6);
    let rig = Rig::start_by(clock, |s| s.service("worker", restart(policy, make)));
    pass(&rig, SECOND * 20);
    assert_eq!(starts.borrow()[..7], [0, 1, 3, 6, 8, 12, 15].map(|s| SECOND * s));
    assert!(!rig.run.is_finished());
}

#[test]
fn ok_is_the_end_and_is_not_restarted() {
    let rig = Rig::start(|s| {
        let done = || async |_cx: Context| io::Result::Ok(());
        s.service("worker", restart(RestartPolicy::new(), done))
    });
    let report = rig.report();
    assert_eq!(report.cause, Cause::AllFinished);
    assert_eq!(counts(&report, "worker").restarted, 0);
}

#[test]
fn nothing_is_restarted_once_the_shutdown_has_begun() {
    // In the pause: its failure was told, and there is nothing left to end.
    let (rig, starts) = start(1, RestartPolicy::new());
    rig.signal(Signal::Term);
    let report = rig.report();
    assert!(report.is_graceful(), "{report}");
    assert_eq!((report.took, starts.borrow().len()), (Duration::ZERO, 1));

    // In a lame duck period, which is part of the shutdown: the failure is the service's own.
    let fails = || {
        async |cx: Context| {
            cx.status().leaving().begun().await;
            cx.sleep(SECOND).await;
            Err::<(), _>(io::Error::other("too late"))
        }
    };
    let rig = Rig::start(|s| {
        let worker = restart(RestartPolicy::new(), fails);
        s.lame_duck(SECOND * 5).service("worker", worker).service("web", until_told)
    });
    rig.signal(Signal::Term);
    pass(&rig, SECOND * 6);
    let report = rig.report();
    assert_eq!(report.service("worker").unwrap().outcome.to_string(), "failed: too late");
    assert_eq!(counts(&report, "worker").restarted, 0);
    assert_eq!(report.exit_status(), 1);
}

#[test]
fn a_shutdown_before_the_run_lets_it_run_once() {
    let clock = ManualClock::new();
    let (service, starts) = worker(0, RestartPolicy::new(), &clock);
    let rig = Rig::start_by(clock, |s| {
        s.trigger().shut_down();
        s.service("worker", service)
    });
    assert!(rig.report().is_graceful());
    assert_eq!(starts.borrow().len(), 1);
}

#[test]
fn a_panic_while_it_is_made_is_a_failure_like_any_other() {
    let mut made = 0;
    let make = move || {
        made += 1;
        assert!(made > 1, "cannot be made");
        until_told
    };
    let rig = Rig::start(|s| s.service("worker", restart(RestartPolicy::new(), make)));
    pass(&rig, SECOND);
    rig.signal(Signal::Term);
    let report = rig.report();
    assert!(report.is_graceful(), "{report}");
    assert_eq!(counts(&report, "worker").restarted, 1);
}

#[test]
fn a_policy_of_nothing_gives_up_at_the_first_failure_and_leaves_turns_to_the_others() {
    let nothing = RestartPolicy::new()
        .pause(Duration::ZERO, Duration::ZERO)
        .jitter(f64::INFINITY)
        .healthy_after(Duration::ZERO);
    let (rig, starts) = start(usize::MAX, nothing.give_up_after(0, Duration::ZERO));
    let report = rig.report();
    assert_eq!(starts.borrow().len(), 1);
    let outcome = report.service("worker").unwrap().outcome.to_string();
    assert_eq!(outcome, "failed: gave up after 1 failure: failure 1");

    for endless in [nothing.never_give_up(), nothing.give_up_after(2, Duration::ZERO)] {
        let (rig, starts) = start(usize::MAX, endless);
        assert_eq!(starts.borrow().len(), 1, "it waits, if only for a millisecond");
        pass(&rig, millis(100));
        assert_eq!(starts.borrow().len(), 11);
        assert!(!rig.run.is_finished());
    }
}

#[test]
fn a_policy_of_everything_waits_for_ever_and_ends_with_the_shutdown() {
    let most = RestartPolicy::new()
        .pause(Duration::MAX, Duration::MAX)
        .healthy_after(Duration::MAX)
        .give_up_after(u32::MAX, Duration::MAX);
    let (rig, starts) = start(usize::MAX, most.jitter(0.0));
    pass(&rig, SECOND);
    assert_eq!(starts.borrow().len(), 1);
    rig.signal(Signal::Term);
    assert!(rig.report().is_graceful());
}

/// What it is made of need not be an async function.
#[test]
fn any_service_can_be_restarted() {
    struct Worker;
    impl Service for Worker {
        async fn serve(self, _cx: Context) -> Result<(), BoxError> {
            Ok(())
        }
    }
    let supervisor = |s: Supervisor| s.service("worker", restart(RestartPolicy::new(), || Worker));
    assert!(Rig::start(supervisor).report().is_graceful());
}

#[cfg(feature = "http")]
#[test]
fn a_web_server_beside_a_worker_that_is_restarted_loses_no_request() {
    use adieu::http::http_types::{Request, Response, Result};
    use adieu::http::{Exchange, Http};
    use adieu::{Server, testing::memory};

    async fn slow(_: Request, exchange: Exchange) -> Result<Response> {
        exchange.sleep(millis(30)).await;
        Ok("well".into())
    }

    let clock = ManualClock::new();
    let (worker, starts) = worker(3, RestartPolicy::new().jitter(0.0), &clock);
    let (listener, network) = memory();
    let server = Server::new(listener, Http::new(slow));
    let rig = Rig::start_by(clock, |s| s.service("worker", worker).service("web", server));
    let client = network.connect().expect("it listens");
    // A request is in flight at each failure and at each restart.
    for number in 0..40 {
        client.send(crate::rig::GET);
        rig.settle();
        rig.pass(millis(50));
        assert!(client.text().ends_with("well"), "request {number}");
    }
    drop(client);
    assert_eq!(starts.borrow().len(), 4);
    rig.signal(Signal::Term);
    let report = rig.report();
    assert!(report.is_graceful(), "{report}");
    assert_eq!(counts(&report, "worker").restarted, 3);
    assert_eq!(counts(&report, "web").requests, 40);
}
