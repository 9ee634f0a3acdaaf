//! A main service, whose end is the end of all, and services and handlers that begin the shutdown.

use std::future::pending;
use std::io;
use std::time::Duration;

use adieu::{Cause, Context, Error, Outcome, Signal, Supervisor};
use futures_lite::{future, stream};

use crate::rig::Rig;

async fn until_told(cx: Context) -> io::Result<()> {
    cx.shutdown().begun().await;
    Ok(())
}

async fn a_second(cx: Context) -> io::Result<()> {
    cx.sleep(Duration::from_secs(1)).await;
    Ok(())
}

async fn fails(_cx: Context) -> io::Result<()> {
    Err(io::Error::other("no luck"))
}

#[test]
fn when_the_main_service_ends_all_end() {
    let rig = Rig::start(|s| s.main("job", a_second).service("web", until_told));
    assert!(!rig.run.is_finished());
    rig.pass(Duration::from_secs(1));
    let report = rig.report();
    assert_eq!(report.cause, Cause::MainEnded("job".to_owned()));
    assert_eq!(report.cause.to_string(), "the end of job");
    assert!(report.is_graceful(), "{report}");
    assert_eq!(report.exit_status(), 0);
}

#[test]
fn a_main_service_may_be_in_any_stage_and_be_alone() {
    let later = Rig::start(|s| s.service("web", until_told).next_stage().main("job", a_second));
    later.pass(Duration::from_secs(1));
    assert_eq!(later.report().cause, Cause::MainEnded("job".to_owned()));
    let alone = Rig::start(|s| s.main("job", a_second));
    alone.pass(Duration::from_secs(1));
    assert_eq!(alone.report().cause, Cause::MainEnded("job".to_owned()));
}

#[test]
fn of_two_main_services_the_first_that_ends_is_the_cause() {
    let rig = Rig::start(|s| s.main("slow", until_told).main("job", a_second));
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.report().cause, Cause::MainEnded("job".to_owned()));
}

#[test]
fn a_main_service_that_fails_is_a_failure() {
    let rig = Rig::start(|s| s.main("job", fails).service("web", until_told));
    let report = rig.report();
    assert_eq!(report.cause, Cause::Failed("job".to_owned()));
    assert!(matches!(report.service("web").unwrap().outcome, Outcome::Finished));
    assert_eq!(report.exit_status(), 1);
}

#[test]
fn who_is_cut_off_after_the_end_of_the_main_service_costs_the_zero() {
    let stuck = async |_: Context| pending::<io::Result<()>>().await;
    let rig = Rig::start(|s| s.main("job", a_second).service("stuck", stuck));
    rig.pass(Duration::from_secs(11));
    let report = rig.report();
    assert_eq!(report.cause, Cause::MainEnded("job".to_owned()));
    assert_eq!(report.exit_status(), 124);
}

#[test]
fn what_a_main_service_has_spawned_is_part_of_the_drain() {
    let rig = Rig::start(|s| {
        s.main("job", async |cx: Context| {
            let inner = cx.clone();
            cx.spawn(async move {
                inner.shutdown().begun().await;
                inner.sleep(Duration::from_secs(2)).await;
            });
            io::Result::Ok(())
        })
    });
    assert!(!rig.run.is_finished());
    rig.pass(Duration::from_secs(2));
    let report = rig.report();
    assert_eq!(report.cause, Cause::MainEnded("job".to_owned()));
    assert_eq!(report.took, Duration::from_secs(2));
    assert!(report.is_graceful(), "{report}");
}

#[test]
fn a_main_service_that_is_told_to_stop_is_no_cause_any_more() {
    let rig = Rig::start(|s| s.main("job", until_told).service("web", until_told));
    rig.signal(Signal::Term);
    assert_eq!(rig.report().cause, Cause::Signal(Signal::Term));
}

#[test]
fn a_main_service_needs_a_name_of_its_own() {
    let run = |supervisor: Supervisor| future::block_on(supervisor.run(stream::pending()));
    let nameless = run(Supervisor::new().main("", until_told));
    assert!(matches!(nameless, Err(Error::NoName)));
    let twice = run(Supervisor::new().service("job", until_told).main("job", until_told));
    assert!(matches!(twice, Err(Error::SameName(name)) if name == "job"));
}

#[test]
fn a_service_can_begin_the_shutdown_and_repeats_are_no_ops() {
    let rig = Rig::start(|s| {
        s.service("web", until_told).next_stage().service("job", async |cx: Context| {
            cx.sleep(Duration::from_secs(1)).await;
            cx.shut_down();
            cx.shut_down();
            until_told(cx).await
        })
    });
    assert!(!rig.run.is_finished());
    rig.pass(Duration::from_secs(1));
    let report = rig.report();
    assert_eq!(report.cause, Cause::Trigger);
    assert!(report.is_graceful(), "{report}");
}

#[cfg(feature = "http")]
#[test]
fn a_handler_can_begin_the_shutdown_and_its_answer_arrives() {
    use adieu::Server;
    use adieu::http::http_types::{Request, Response, Result};
    use adieu::http::{Exchange, Http};
    use adieu::testing::{memory, settle};

    let (listener, network) = memory();
    let handler = async |_: Request, exchange: Exchange| {
        exchange.shut_down();
        exchange.sleep(Duration::from_secs(1)).await;
        Result::<Response>::Ok("bye".into())
    };
    let rig = Rig::start(|s| s.service("web", Server::new(listener, Http::new(handler))));
    let client = network.connect().unwrap();
    client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    settle(&rig.executor);
    assert!(!network.is_open());
    rig.pass(Duration::from_secs(1));
    let answer = String::from_utf8(client.received()).unwrap();
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("bye"), "{answer}");
    drop(client);
    let report = rig.report();
    assert_eq!(report.cause, Cause::Trigger);
    assert!(report.is_graceful(), "{report}");
}

#[cfg(feature = "hyper")]
#[test]
fn a_hyper_service_can_begin_the_shutdown_too() {
    use adieu::hyper::hyper::service::service_fn;
    use adieu::hyper::hyper::{Request, Response};
    use adieu::hyper::{Exchange, Hyper, RequestBody};
    use adieu::testing::settle;

    let answer = async |request: Request<RequestBody>| {
        let exchange = request.extensions().get::<Exchange>().expect("every request has one");
        exchange.shut_down();
        std::result::Result::<_, std::convert::Infallible>::Ok(Response::new("bye".to_owned()))
    };
    let (rig, network) = crate::rig::serve("web", Hyper::new(service_fn(answer)));
    let client = network.connect().unwrap();
    client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    settle(&rig.executor);
    let answer = String::from_utf8(client.received()).unwrap();
    assert!(answer.ends_with("bye"), "{answer}");
    drop(client);
    let report = rig.report();
    assert_eq!(report.cause, Cause::Trigger);
    assert!(report.is_graceful(), "{report}");
}
