//! Who is told to go, when, and how long the server waits for it.

use adieu::Signal;
use adieu::hyper::Limits;

use super::{SECOND, Web, kinds, of_kind};
use crate::h2::{self, Client};

#[test]
fn a_client_that_never_acknowledges_the_goodbye_is_waited_for_two_seconds() {
    let web = Web::start();
    let idle = web.client(1 << 16);
    web.rig.signal(Signal::Term);
    assert!((19..=21).contains(&(web.ends_after(|| {}).as_millis() / 100)));
    drop(idle);
    assert!(web.rig.report().is_graceful());
}

#[test]
fn with_its_last_answer_a_client_that_never_acknowledges_the_goodbye_is_done() {
    let web = Web::start();
    let mut client = web.client(1 << 16);
    client.get(1, "/sleep/5");
    web.rig.settle();
    web.rig.signal(Signal::Term);
    let mut frames = Vec::new();
    let took = web.ends_after(|| frames.extend(client.frames_unanswered()));
    // The answer, and then the moment in which a connection lingers.
    assert!((50..=52).contains(&(took.as_millis() / 100)), "{took:?}");
    assert!(frames.iter().any(|frame| frame.stream == 1 && frame.ends_stream()));
    let goodbyes = of_kind(&frames, h2::GOAWAY);
    assert_eq!(
        goodbyes.iter().map(h2::Frame::last_stream).collect::<Vec<_>>(),
        [u32::MAX >> 1, 1],
        "the second tells which requests were seen"
    );
    assert!(web.rig.report().is_graceful());
}

#[test]
fn a_client_that_opens_streams_for_ever_is_refused_after_two_seconds() {
    let web = Web::start();
    let mut client = web.client(1 << 16);
    let mut next = 1;
    let mut open = |client: &Client| {
        if !client.stream.is_closed() && !client.stream.is_gone() {
            client.get(next, "/sleep/1");
            next += 2;
        }
    };
    open(&client);
    web.rig.settle();
    web.rig.signal(Signal::Term);
    let mut frames = Vec::new();
    let took = web.ends_after(|| {
        frames.extend(client.frames_unanswered());
        open(&client);
    });
    // What was asked just before has its second.
    assert!((29..=32).contains(&(took.as_millis() / 100)), "{took:?}");
    let answered = frames.iter().filter(|frame| frame.ends_stream()).count();
    let refused = of_kind(&frames, h2::RST_STREAM);
    assert!((19..=22).contains(&answered), "{answered}");
    assert!((8..=11).contains(&refused.len()), "{}", refused.len());
    assert!(refused.iter().all(|frame| frame.error() == h2::REFUSED_STREAM));
    assert_eq!(web.seen.asked.get(), answered, "those were not asked of the service");
    drop(client);
    assert!(web.rig.report().is_graceful());
}

#[test]
fn a_hundred_clients_whose_windows_stay_shut_hold_the_drain_for_the_answer_time() {
    let limits = Limits { answer_time: 4 * SECOND, ..Limits::default() };
    let web = Web::with(|supervisor| supervisor, |server| server.limits(limits));
    let clients: Vec<_> = (0..100).map(|_| web.client(0)).collect();
    clients.iter().for_each(|client| client.get(1, "/big/1000"));
    web.rig.settle();
    web.rig.signal(Signal::Term);
    let took = web.ends_after(|| {});
    assert!((39..=42).contains(&(took.as_millis() / 100)), "{took:?}");
    drop(clients);
    let report = web.rig.report();
    assert!(report.is_graceful(), "{report}");
    assert_eq!(report.services[0].counts.requests, 0);
}

#[test]
fn in_the_lame_duck_a_client_is_told_with_its_next_answer_and_not_before() {
    let lame = |supervisor: adieu::Supervisor| supervisor.grace(60 * SECOND).lame_duck(30 * SECOND);
    let web = Web::with(lame, |server| server);
    let (mut idle, mut busy) = (web.client(1 << 16), web.client(1 << 16));
    busy.get(1, "/sleep/1");
    busy.get(3, "/sleep/9");
    web.rig.settle();
    for client in [&mut idle, &mut busy] {
        client.frames();
    }
    web.rig.signal(Signal::Term);
    web.rig.pass(SECOND / 2);
    assert_eq!((idle.frames(), busy.frames()), (vec![], vec![]), "no answer yet");
    web.rig.pass(SECOND);
    let frames = busy.frames_unanswered();
    assert_eq!(kinds(&frames, 1), [h2::HEADERS, h2::DATA]);
    assert_eq!(of_kind(&frames, h2::GOAWAY).len(), 1, "behind the first answer");
    // A request that was on its way is answered, and so is the other one.
    busy.get(5, "/");
    web.rig.settle();
    assert!(busy.frames().iter().any(|frame| frame.stream == 5 && frame.ends_stream()));
    web.rig.pass(10 * SECOND);
    assert!(busy.frames().iter().any(|frame| frame.stream == 3 && frame.ends_stream()));
    assert!(busy.stream.is_closed(), "nothing is in flight");
    assert_eq!(idle.frames(), [], "as long as it asks for nothing");
    idle.get(1, "/");
    web.rig.settle();
    let frames = idle.frames();
    assert_eq!((kinds(&frames, 1).len(), of_kind(&frames, h2::GOAWAY).len()), (2, 1));
    web.rig.settle();
    assert!(idle.stream.is_closed());
}

#[test]
fn in_a_lame_duck_that_is_spread_idle_connections_end_one_by_one() {
    let lame = |supervisor: adieu::Supervisor| {
        supervisor.grace(60 * SECOND).lame_duck(10 * SECOND).spread(true)
    };
    let web = Web::with(lame, |server| server);
    let mut clients: Vec<_> = (0..50).map(|_| web.client(1 << 16)).collect();
    web.rig.signal(Signal::Term);
    let mut told = Vec::new();
    for _ in 0..10 {
        web.rig.pass(SECOND);
        for client in &mut clients {
            client.frames_of(client.stream.is_closed());
        }
        web.rig.settle();
        told.push(clients.iter().filter(|client| client.stream.is_closed()).count());
    }
    assert!((15..=35).contains(&told[4]) && told[8] >= 40, "{told:?}");
}

#[test]
fn a_connection_of_age_is_told_at_once_and_its_streams_finish() {
    for is_idle in [true, false] {
        let web = Web::with(|supervisor| supervisor, |server| server.max_age(10 * SECOND));
        let mut client = web.client(1 << 16);
        if !is_idle {
            client.get(1, "/sleep/30");
        }
        web.rig.settle();
        client.frames();
        web.rig.pass(8 * SECOND);
        let mut goodbyes = Vec::new();
        for _ in 0..40 {
            web.rig.pass(SECOND / 10);
            goodbyes.extend(of_kind(&client.frames(), h2::GOAWAY));
        }
        // The second follows when it has acknowledged the first.
        assert_eq!(goodbyes.len(), 2, "it is {is_idle} that it is idle");
        web.rig.settle();
        assert_eq!(client.stream.is_closed(), is_idle);
        if !is_idle {
            web.rig.pass(20 * SECOND);
            assert!(client.frames().iter().any(|frame| frame.stream == 1 && frame.ends_stream()));
            assert!(client.stream.is_closed());
        }
    }
}

#[test]
fn a_goodbye_that_was_said_before_the_cause_waits_no_longer_than_the_deadline() {
    let web = Web::with(
        |supervisor| supervisor.grace(SECOND / 2),
        |server| server.limits(Limits { requests: 1, ..Limits::default() }),
    );
    let client = web.client(1 << 16);
    client.get(1, "/");
    web.rig.settle();
    // It was told, and acknowledges nothing.
    web.rig.pass(SECOND / 2);
    web.rig.signal(Signal::Term);
    assert!(web.ends_after(|| {}) <= SECOND / 2 + SECOND / 5);
    drop(client);
    let report = web.rig.report();
    assert!(report.is_graceful(), "{report}");
}
