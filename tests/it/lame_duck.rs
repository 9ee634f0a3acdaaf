//! The lame duck period, the admin service that closes last, and SIGQUIT, which waits for nobody.

use std::cell::RefCell;
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use adieu::http::Http;
use adieu::http::http_types::{Request, Response, Result};
use adieu::testing::{Network, memory, settle};
use adieu::{
    Cause, Context, Outcome, Phase, Server, Service, Signal, State, Status, Supervisor, Waiting,
};

use crate::rig::{GET, Rig, ask, text};

const STUCK: &[u8] = b"GET /stuck HTTP/1.1\r\nHost: test\r\n\r\n";

async fn handler(request: Request) -> Result<Response> {
    match request.url().path() {
        "/stuck" => pending().await,
        _ => Ok("hello".into()),
    }
}

/// Takes the status of the run that it is a service of, and ends.
pub fn looker(into: Rc<RefCell<Option<Status>>>) -> impl Service {
    async move |cx: Context| {
        *into.borrow_mut() = Some(cx.status().clone());
        std::io::Result::Ok(())
    }
}

/// A supervisor of "web", which hands out its status.
fn serve(set_up: impl FnOnce(Supervisor) -> Supervisor) -> (Rig, Network, Status) {
    let (listener, network) = memory();
    let status = Rc::new(RefCell::new(None));
    let rig = Rig::start(|s| {
        let web = Server::new(listener, Http::new(handler));
        set_up(s.service("web", web).service("looker", looker(status.clone())))
    });
    let status = status.borrow_mut().take().expect("the looker has run");
    (rig, network, status)
}

const TWO: Duration = Duration::from_secs(2);

#[test]
fn a_lame_duck_is_not_ready_but_accepts_and_says_close() {
    let (rig, network, status) = serve(|s| s.lame_duck(TWO));
    let idle = ask(&rig, &network, GET);
    assert!(!text(&idle).contains("connection: close"));
    assert!(status.is_ready());
    assert_eq!(status.phase(), Phase::Serving);

    rig.signal(Signal::Term);
    assert!(!status.is_ready());
    assert_eq!(status.phase(), Phase::LameDuck);
    assert_eq!(status.cause(), Some(Cause::Signal(Signal::Term)));
    assert_eq!(status.time_left(), Some(adieu::GRACE));
    assert!(network.is_open());
    assert!(!idle.is_closed(), "idle connections stay until the drain");

    let new = ask(&rig, &network, GET);
    assert!(text(&new).contains("connection: close\r\n"));
    assert!(new.is_closed());
    idle.send(GET);
    settle(&rig.executor);
    assert!(text(&idle).contains("connection: close\r\n"));
}

#[test]
fn after_the_lame_duck_period_comes_the_drain() {
    let (rig, network, status) = serve(|s| s.lame_duck(TWO));
    let idle = ask(&rig, &network, GET);
    rig.signal(Signal::Term);
    rig.pass(Duration::from_millis(1900));
    assert!(network.is_open() && !idle.is_closed());
    rig.pass(Duration::from_millis(100));
    assert!(!network.is_open() && idle.is_closed());
    let report = rig.report();
    assert_eq!(status.phase(), Phase::Ended);
    assert_eq!(report.took, TWO);
    assert!(report.is_graceful());
}

#[test]
fn the_grace_period_counts_from_the_cause_and_includes_the_lame_duck() {
    let (rig, network, _) = serve(|s| s.lame_duck(TWO).grace(Duration::from_secs(3)));
    let _client = ask(&rig, &network, STUCK);
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(3));
    let report = rig.report();
    assert_eq!(report.took, Duration::from_secs(3));
    assert_eq!(report.exit_status(), 124);
}

#[test]
fn a_lame_duck_longer_than_the_grace_period_still_lets_idle_connections_go_gracefully() {
    let (rig, network, _) = serve(|s| s.lame_duck(TWO).grace(Duration::from_secs(1)));
    let idle = ask(&rig, &network, GET);
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(1));
    assert!(idle.is_closed());
    assert!(rig.report().is_graceful());
}

#[test]
fn a_failed_service_skips_nothing() {
    let (listener, network) = memory();
    let fails = async |cx: Context| {
        cx.sleep(Duration::from_secs(1)).await;
        Err::<(), _>(io::Error::other("no luck"))
    };
    let web = Server::new(listener, Http::new(handler));
    let rig = Rig::start(|s| s.lame_duck(TWO).service("web", web).service("bad", fails));
    rig.pass(Duration::from_secs(1));
    assert!(network.is_open());
    rig.pass(TWO);
    assert!(!network.is_open());
    let report = rig.report();
    assert_eq!(report.cause, Cause::Failed("bad".to_owned()));
    assert_eq!(report.exit_status(), 1);
}

#[test]
fn a_lame_duck_whose_services_have_all_ended_does_not_wait() {
    let ends = async |cx: Context| {
        cx.sleep(Duration::from_secs(1)).await;
        io::Result::Ok(())
    };
    let rig = Rig::start(|s| s.lame_duck(TWO).service("a", ends));
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.report().took, Duration::from_secs(1));
}

#[test]
fn a_second_signal_aborts_a_lame_duck_too_and_names_whoever_is_left() {
    let (rig, network, _) = serve(|s| s.lame_duck(TWO));
    let _client = ask(&rig, &network, STUCK);
    rig.signal(Signal::Term);
    rig.pass(Duration::from_millis(100));
    rig.signal(Signal::Int);
    let report = rig.report();
    assert_eq!(report.exit_status(), 130);
    assert!(report.to_string().contains("GET /stuck"), "{report}");
}

#[test]
fn an_admin_service_is_told_only_when_the_others_have_drained() {
    let (admin, door) = memory();
    let (rig, network, status) =
        serve(|s| s.next_stage().service("admin", Server::new(admin, Http::new(handler))));
    let _client = ask(&rig, &network, STUCK);
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(5));
    assert!(!network.is_open());
    let probe = ask(&rig, &door, GET);
    assert!(text(&probe).starts_with("HTTP/1.1 200"));
    assert!(!probe.is_closed());
    let (named, more) = status.stragglers(1);
    assert_eq!(more, 0);
    let straggler = named[0].connection.as_ref().unwrap();
    assert_eq!((straggler.state, straggler.waits_for), (State::Active, Waiting::Handler));
    assert_eq!(straggler.received, STUCK.len() as u64);

    rig.pass(Duration::from_secs(5));
    let report = rig.report();
    assert_eq!(report.exit_status(), 124);
    assert_eq!(report.stragglers.len(), 1, "the admin service is not to blame: {report}");
}

#[test]
fn an_admin_service_ends_with_the_last_of_the_others_and_keeps_no_run_alive() {
    let (admin, door) = memory();
    let (listener, network) = memory();
    let web = Server::new(listener, Http::new(handler));
    let admin = Server::new(admin, Http::new(handler));
    let rig = Rig::start(|s| s.service("web", web).next_stage().service("admin", admin));
    let probe = ask(&rig, &door, GET);
    rig.signal(Signal::Term);
    assert!(!network.is_open() && !door.is_open() && probe.is_closed());
    let report = rig.report();
    assert!(matches!(report.service("admin").unwrap().outcome, Outcome::Finished));
    assert!(report.is_graceful());

    let (admin, door) = memory();
    let admin = Server::new(admin, Http::new(handler));
    let done = async |_: Context| io::Result::Ok(());
    let rig = Rig::start(|s| s.service("done", done).next_stage().service("admin", admin));
    assert!(!door.is_open());
    assert_eq!(rig.report().cause, Cause::AllFinished);
}

#[test]
fn sigquit_ends_it_now_and_names_what_it_has_cut_off() {
    let (rig, network, _) = serve(|s| s.lame_duck(TWO));
    let idle = ask(&rig, &network, GET);
    let _busy = ask(&rig, &network, STUCK);
    rig.signal(Signal::Quit);
    assert!(idle.is_closed());
    let report = rig.report();
    assert_eq!(report.cause, Cause::Signal(Signal::Quit));
    assert_eq!(report.exit_status(), 131);
    assert_eq!(report.took, Duration::ZERO);
    assert_eq!(report.stragglers.len(), 1, "{report}");
    assert_eq!(report.service("web").unwrap().counts.closed_idle, 1);
}

#[test]
fn sigquit_with_nothing_in_flight_is_a_graceful_bye() {
    let (rig, network, _) = serve(|s| s);
    let _idle = ask(&rig, &network, GET);
    rig.signal(Signal::Quit);
    assert!(rig.report().is_graceful());
}

#[test]
fn the_first_signal_of_a_run_that_is_ending_anyway_asks_for_nothing_new() {
    let mut trigger = None;
    let (rig, network, _) = serve(|s| {
        trigger = Some(s.trigger());
        s
    });
    let _busy = ask(&rig, &network, STUCK);
    trigger.unwrap().shut_down();
    settle(&rig.executor);
    rig.signal(Signal::Term);
    assert!(!rig.run.is_finished());
    rig.pass(Duration::from_millis(100));
    rig.signal(Signal::Term);
    let report = rig.report();
    assert_eq!((report.cause, report.aborted), (Cause::Trigger, Some(Signal::Term)));
}

#[test]
fn with_no_grace_at_all_only_work_in_flight_is_cut_off() {
    let (rig, network, _) = serve(|s| s.grace(Duration::ZERO));
    let _idle = ask(&rig, &network, GET);
    let waiting = network.connect().unwrap();
    waiting.send(GET);
    rig.signal(Signal::Term);
    assert!(text(&waiting).starts_with("HTTP/1.1 200"));
}

#[test]
fn the_status_counts_connections_by_state_and_bytes() {
    let (rig, network, status) = serve(|s| s);
    let _idle = ask(&rig, &network, GET);
    let _busy = ask(&rig, &network, STUCK);
    let _new = network.connect().unwrap();
    settle(&rig.executor);
    let web = &status.services()[0];
    let open = |state| web.open.iter().find(|(s, _)| *s == state).unwrap().1;
    assert_eq!((open(State::Idle), open(State::Active), open(State::New)), (1, 1, 1));
    assert_eq!(web.counts.received, (GET.len() + STUCK.len()) as u64);
    assert!(web.counts.sent > 0);
    assert_eq!((web.phase, web.stage), (Phase::Serving, 0));
    assert_eq!(status.services()[1].phase, Phase::Ended);
}

#[test]
fn half_a_head_gets_its_two_seconds_from_the_drain_on() {
    let (rig, network, _) = serve(|s| s.lame_duck(TWO));
    let client = ask(&rig, &network, b"GET / HT");
    rig.signal(Signal::Term);
    rig.pass(TWO + TWO);
    assert!(text(&client).starts_with("HTTP/1.1 408"));
    rig.pass(Duration::from_millis(100)); // the linger
    assert_eq!(rig.report().took, TWO + TWO + Duration::from_millis(100));
}
