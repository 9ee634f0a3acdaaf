//! Turns of the loop that take too long: they are counted, and logged by the service and what it polled.
//! The time passes inside of the turn, by the clock that the test moves.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use adieu::testing::{ManualClock, MemoryStream, memory, settle};
use adieu::{Connection, Context, Counts, Protocol, Report, Server, Signal, Tcp};
use futures_lite::AsyncReadExt;

use crate::rig::Rig;

const SECOND: Duration = Duration::from_secs(1);

/// What a service has done by the end of the run.
fn counts<'a>(report: &'a Report, name: &str) -> &'a Counts {
    &report.service(name).unwrap().counts
}

#[test]
fn a_turn_of_more_than_a_second_is_counted_for_the_service_whose_turn_it_was() {
    let clock = ManualClock::new();
    let time = clock.clone();
    let rig = Rig::start_by(clock, |s| {
        let (itself, task) = (time.clone(), time.clone());
        let other = async |cx: Context| {
            cx.shutdown().begun().await;
            io::Result::Ok(())
        };
        s.service("other", other).service("mailer", |cx: Context| async move {
            // At most a second is nothing to tell.
            itself.advance(SECOND);
            futures_lite::future::yield_now().await;
            itself.advance(SECOND + Duration::from_nanos(1));
            futures_lite::future::yield_now().await;
            cx.spawn(async move { task.advance(SECOND * 2) });
            cx.shutdown().begun().await;
            io::Result::Ok(())
        })
    });
    rig.signal(Signal::Term);
    let report = rig.report();
    assert_eq!(counts(&report, "mailer").blocked, 2);
    assert_eq!(counts(&report, "other").blocked, 0);
    assert_eq!(report.to_string().matches(", 2 times blocked the thread").count(), 1, "{report}");
}

/// A protocol that tells its connection nothing.
struct Silent(ManualClock);

impl Protocol<MemoryStream> for Silent {
    async fn serve(self: Rc<Self>, mut stream: MemoryStream, _: Connection) -> io::Result<()> {
        while stream.read(&mut [0]).await? > 0 {
            self.0.advance(SECOND * 2);
        }
        Ok(())
    }
}

#[test]
fn a_handler_that_reads_by_itself_is_counted_too() {
    let clock = ManualClock::new();
    let (raw, raw_network) = memory();
    let (silent, silent_network) = memory();
    let time = clock.clone();
    let handler = async move |stream: &mut MemoryStream, _: &Connection| {
        while stream.read(&mut [0]).await? > 0 {
            time.advance(SECOND * 2);
        }
        Ok(())
    };
    let protocol = Silent(clock.clone());
    let rig = Rig::start_by(clock, |s| {
        let s = s.service("raw", Server::new(raw, Tcp::new(handler)));
        s.service("silent", Server::new(silent, protocol))
    });
    for network in [raw_network, silent_network] {
        let client = network.connect().expect("it listens");
        settle(&rig.executor);
        client.send(b"a");
        settle(&rig.executor);
    }
    rig.signal(Signal::Term);
    let report = rig.report();
    assert_eq!((counts(&report, "raw").blocked, counts(&report, "silent").blocked), (1, 1));
}

#[test]
fn a_connection_that_blocks_the_thread_is_counted_and_one_that_waits_is_not() {
    let clock = ManualClock::new();
    let time = clock.clone();
    let (listener, network) = memory();
    let tcp = Tcp::new(async move |stream: &mut MemoryStream, connection: &Connection| {
        let mut bytes = Vec::new();
        while connection.read(stream, &mut bytes).await? > 0 {
            time.advance(SECOND * 2);
        }
        Ok(())
    });
    let rig = Rig::start_by(clock, |s| s.service("echo", Server::new(listener, tcp)));
    let client = network.connect().expect("it listens");
    settle(&rig.executor);
    rig.pass(SECOND * 10);
    client.send(b"a");
    settle(&rig.executor);
    drop(client);
    rig.signal(Signal::Term);
    assert_eq!(counts(&rig.report(), "echo").blocked, 1);
}
