//! Exit when idle: when nobody has been connected for so long, and not while anybody is.

use std::io;
use std::time::Duration;

use adieu::testing::{MemoryStream, Network, memory, settle};
use adieu::{Cause, Connection, Context, Server, Supervisor, Tcp};
use futures_lite::AsyncReadExt;

use crate::rig::Rig;

const IDLE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// Reads until the client ends.
async fn listen(stream: &mut MemoryStream, _: &Connection) -> io::Result<()> {
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

async fn until_told(cx: Context) -> io::Result<()> {
    cx.shutdown().begun().await;
    Ok(())
}

/// A server that ends when it is idle, and what is added to it.
fn start(set_up: impl FnOnce(Supervisor) -> Supervisor) -> (Rig, Network) {
    let (listener, network) = memory();
    let rig = Rig::start(|supervisor| {
        let server = Server::new(listener, Tcp::new(listen));
        set_up(supervisor.exit_when_idle(IDLE).service("tcp", server))
    });
    (rig, network)
}

fn ends_after(rig: Rig, time: Duration) {
    rig.pass(time - Duration::from_millis(1));
    assert!(!rig.run.is_finished(), "it ends too early");
    rig.pass(Duration::from_millis(1));
    let report = rig.report();
    assert_eq!(report.cause, Cause::Idle);
    assert!(report.is_graceful(), "{report}");
    assert_eq!(report.exit_status(), 0);
}

#[test]
fn a_server_to_which_nobody_comes_ends() {
    ends_after(start(|supervisor| supervisor).0, IDLE);
}

#[test]
fn the_time_counts_from_when_the_last_client_went() {
    for stays in [0, 1, 59, 60, 61, 150] {
        let (rig, network) = start(|supervisor| supervisor);
        rig.pass(30 * SECOND);
        let client = network.connect().unwrap();
        settle(&rig.executor);
        rig.pass(SECOND * stays);
        assert!(!rig.run.is_finished(), "it ends while somebody is connected");
        drop(client);
        settle(&rig.executor);
        ends_after(rig, IDLE);
    }
}

#[test]
fn as_long_as_one_of_many_is_there_it_stays() {
    let (rig, network) = start(|supervisor| supervisor);
    let mut last = network.connect().unwrap();
    for _ in 0..20 {
        rig.pass(20 * SECOND);
        let next = network.connect().unwrap();
        settle(&rig.executor);
        drop(std::mem::replace(&mut last, next));
    }
    rig.pass(20 * SECOND);
    drop(last);
    settle(&rig.executor);
    ends_after(rig, IDLE);
}

#[test]
fn a_task_keeps_it_up_and_a_service_itself_does_not() {
    let (rig, _network) = start(|supervisor| {
        supervisor.service("quiet", until_told).service("busy", async |cx: Context| {
            let inner = cx.clone();
            cx.spawn(async move { inner.sleep(100 * SECOND).await });
            until_told(cx).await
        })
    });
    ends_after(rig, 100 * SECOND + IDLE);
}

#[test]
fn a_task_of_a_service_that_has_returned_keeps_it_up() {
    let (rig, _network) = start(|supervisor| {
        supervisor.service("busy", async |cx: Context| {
            let inner = cx.clone();
            cx.spawn(async move { inner.sleep(100 * SECOND).await });
            io::Result::Ok(())
        })
    });
    ends_after(rig, 100 * SECOND + IDLE);
}

#[test]
fn a_service_that_holds_readiness_back_is_not_idle() {
    let (rig, _network) = start(|supervisor| {
        supervisor.service("slow", async |cx: Context| {
            let loading = cx.not_ready("loading");
            cx.sleep(100 * SECOND).await;
            drop(loading);
            until_told(cx).await
        })
    });
    ends_after(rig, 100 * SECOND + IDLE);
}

#[test]
fn a_client_of_a_later_stage_keeps_nothing_up() {
    let (listener, door) = memory();
    let (rig, _network) = start(|supervisor| {
        supervisor.next_stage().service("admin", Server::new(listener, Tcp::new(listen)))
    });
    let scraper = door.connect().unwrap();
    settle(&rig.executor);
    rig.pass(IDLE);
    assert!(rig.run.is_finished() || !door.is_open());
    drop(scraper);
    assert_eq!(rig.report().cause, Cause::Idle);
}

#[test]
fn a_time_of_zero_is_a_short_one_and_one_of_ages_is_never() {
    let (listener, network) = memory();
    let server = Server::new(listener, Tcp::new(listen));
    let rig = Rig::start(|s| s.exit_when_idle(Duration::ZERO).service("tcp", server));
    assert!(!rig.run.is_finished());
    let client = network.connect().unwrap();
    settle(&rig.executor);
    rig.pass(10 * SECOND);
    assert!(!rig.run.is_finished());
    drop(client);
    settle(&rig.executor);
    ends_after(rig, Duration::from_millis(100));

    let (listener, _network) = memory();
    let server = Server::new(listener, Tcp::new(listen));
    let rig = Rig::start(|s| s.exit_when_idle(Duration::MAX).service("tcp", server));
    rig.pass(3600 * SECOND);
    assert!(!rig.run.is_finished());
}

#[cfg(feature = "http")]
#[test]
fn a_client_that_connects_in_the_very_moment_is_served() {
    use adieu::http::Http;
    use adieu::http::http_types::{Request, Response, Result};

    let (listener, network) = memory();
    let hello = async |_: Request| Result::<Response>::Ok("hello".into());
    let server = Server::new(listener, Http::new(hello));
    let rig = Rig::start(|s| s.exit_when_idle(IDLE).service("web", server));
    // The time passes and the client comes before anybody has had a turn.
    rig.clock.advance(IDLE);
    let client = network.connect().unwrap();
    client.send(b"GET / HTTP/1.0\r\n\r\n");
    settle(&rig.executor);
    assert!(client.received().ends_with(b"hello"));
    drop(client);
    rig.pass(SECOND);
    if rig.run.is_finished() {
        assert!(rig.report().is_graceful());
    } else {
        ends_after(rig, IDLE - SECOND);
    }
}
