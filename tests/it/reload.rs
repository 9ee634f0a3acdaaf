//! Reloads: SIGHUP as an event that services see.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use adieu::testing::{ManualClock, settle};
use adieu::{Cause, Context, Hangup, Report, Signal, SignalSource, Status, Supervisor, Terms};
use async_channel::{Receiver, Sender, unbounded};
use futures_lite::{Stream, StreamExt, future};
use smol::{LocalExecutor, Task};

use crate::rig::Rig;

/// Signals from a channel, of which SIGHUP asks for a reload.
pub struct Reloading(pub Receiver<Signal>);

impl SignalSource for Reloading {
    fn signals(self, _terms: Terms) -> impl Stream<Item = Signal> {
        self.0
    }

    fn hangup(&self) -> Hangup {
        Hangup::Reload
    }
}

/// A run of a service that takes `takes` for a reload, and counts them.
struct House {
    executor: LocalExecutor<'static>,
    clock: ManualClock,
    signals: Sender<Signal>,
    run: Task<std::result::Result<Report, adieu::Error>>,
    seen: Rc<Cell<usize>>,
    status: Rc<RefCell<Option<Status>>>,
}

impl House {
    fn open(takes: Duration) -> House {
        let executor = LocalExecutor::new();
        let clock = ManualClock::new();
        let (signals, received) = unbounded();
        let (seen, status) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(None)));
        let (count, tell) = (seen.clone(), status.clone());
        let api = async move |cx: Context| {
            *tell.borrow_mut() = Some(cx.status().clone());
            let mut reloads = cx.reloads();
            while reloads.next().await.is_some() {
                count.set(count.get() + 1);
                cx.sleep(takes).await;
            }
            io::Result::Ok(())
        };
        let supervisor = Supervisor::new().clock(clock.clone()).service("api", api);
        let run = executor.spawn(supervisor.run(Reloading(received)));
        settle(&executor);
        House { executor, clock, signals, run, seen, status }
    }

    fn signal(&self, signal: Signal) {
        self.signals.try_send(signal).expect("the run listens");
        settle(&self.executor);
    }

    fn is_reloading(&self) -> bool {
        self.status.borrow().as_ref().expect("it runs").is_reloading()
    }

    fn report(self) -> Report {
        settle(&self.executor);
        assert!(self.run.is_finished(), "the run is not over");
        future::block_on(self.run).expect("a run that could begin")
    }
}

#[test]
fn each_sighup_is_a_reload_and_none_is_a_cause() {
    let house = House::open(Duration::ZERO);
    for number in 1..=3 {
        house.signal(Signal::Hup);
        assert_eq!(house.seen.get(), number);
    }
    assert!(!house.run.is_finished());
    house.signal(Signal::Term);
    let report = house.report();
    assert_eq!(report.cause, Cause::Signal(Signal::Term));
    assert!(report.is_graceful(), "the stream has ended: {report}");
}

#[test]
fn reloads_that_are_asked_for_during_one_are_one_more() {
    let house = House::open(Duration::from_secs(1));
    (0..5).for_each(|_| house.signal(Signal::Hup));
    assert_eq!(house.seen.get(), 1);
    for seen in [2, 2] {
        house.clock.advance_and_settle(Duration::from_secs(1), &house.executor);
        assert_eq!(house.seen.get(), seen);
    }
}

#[test]
fn a_reload_is_over_when_the_service_waits_for_the_next() {
    let house = House::open(Duration::from_secs(1));
    assert!(!house.is_reloading());
    house.signal(Signal::Hup);
    assert!(house.is_reloading());
    let changed = house.executor.spawn(house.status.borrow().as_ref().unwrap().changed());
    house.clock.advance_and_settle(Duration::from_millis(999), &house.executor);
    assert!(house.is_reloading() && !changed.is_finished());
    house.clock.advance_and_settle(Duration::from_millis(1), &house.executor);
    assert!(!house.is_reloading() && changed.is_finished());
}

#[test]
fn a_sighup_during_the_drain_is_no_second_signal() {
    let house = House::open(Duration::from_secs(5));
    house.signal(Signal::Hup);
    house.signal(Signal::Term);
    house.clock.advance_and_settle(Duration::from_secs(1), &house.executor);
    house.signal(Signal::Hup);
    assert!(!house.run.is_finished());
    house.clock.advance_and_settle(Duration::from_secs(4), &house.executor);
    assert_eq!(house.seen.get(), 1, "and it asks for nothing");
    assert!(house.report().is_graceful());
}

#[test]
fn a_service_sees_the_reloads_from_its_call_on_and_each_stream_sees_all() {
    let executor = LocalExecutor::new();
    let (signals, received) = unbounded();
    signals.try_send(Signal::Hup).unwrap();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let service = |name: &'static str| {
        let seen = seen.clone();
        move |cx: Context| async move {
            let mut reloads = cx.reloads();
            while reloads.next().await.is_some() {
                seen.borrow_mut().push(name);
            }
            io::Result::Ok(())
        }
    };
    let supervisor = Supervisor::new().service("a", service("a")).service("b", service("b"));
    let run = executor.spawn(supervisor.run(Reloading(received)));
    settle(&executor);
    // One that was there before the run comes when the services have had their first turn.
    assert_eq!(*seen.borrow(), ["a", "b"]);
    signals.try_send(Signal::Hup).unwrap();
    settle(&executor);
    let count = |name| seen.borrow().iter().filter(|seen| **seen == name).count();
    assert_eq!((count("a"), count("b")), (2, 2));
    drop(run);
}

#[test]
fn who_drops_its_stream_is_done() {
    let executor = LocalExecutor::new();
    let (signals, received) = unbounded();
    let status = Rc::new(RefCell::new(None));
    let tell = status.clone();
    let supervisor = Supervisor::new().service("once", async move |cx: Context| {
        *tell.borrow_mut() = Some(cx.status().clone());
        cx.reloads().next().await;
        cx.shutdown().begun().await;
        io::Result::Ok(())
    });
    let run = executor.spawn(supervisor.run(Reloading(received)));
    settle(&executor);
    for _ in 0..2 {
        signals.try_send(Signal::Hup).unwrap();
        settle(&executor);
        assert!(!status.borrow().as_ref().is_some_and(Status::is_reloading));
    }
    drop(run);
}

#[test]
fn by_default_sighup_begins_the_shutdown() {
    let rig = Rig::start(|s| {
        s.service("api", async |cx: Context| {
            assert_eq!(cx.reloads().next().await, None, "it is no reload");
            io::Result::Ok(())
        })
    });
    rig.signal(Signal::Hup);
    let report = rig.report();
    assert_eq!(report.cause, Cause::Signal(Signal::Hup));
    assert!(report.is_graceful(), "{report}");
}
