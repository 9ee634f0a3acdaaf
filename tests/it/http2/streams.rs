//! Answers that would not end by themselves.

use adieu::Signal;
use adieu::hyper::hyper::body::Bytes;

use super::{SECOND, Web, kinds};
use crate::h2::{self, content};

const LINE: Bytes = Bytes::from_static(b"data: 1\n\n");

#[test]
fn a_stream_of_events_ends_with_the_drain_behind_what_is_ready() {
    for kind in ["events", "EVENTS"] {
        let web = Web::start();
        let mut client = web.client(1 << 16);
        client.get(1, &format!("/stream/{kind}"));
        web.rig.settle();
        let lines = web.seen.lines.borrow()[0].clone();
        lines.try_send(LINE).expect("it is open");
        web.rig.settle();
        let frames = client.frames();
        assert_eq!(
            (kinds(&frames, 1), content(&frames)),
            (vec![h2::HEADERS, h2::DATA], LINE.len())
        );
        lines.try_send(LINE).expect("it is open");
        lines.try_send(LINE).expect("it is open");
        web.rig.signal(Signal::Term);
        let frames = client.frames();
        assert_eq!(content(&frames), 2 * LINE.len());
        assert!(frames.iter().any(|frame| frame.stream == 1 && frame.ends_stream()), "{kind}");
        web.rig.settle();
        drop(client);
        let report = web.rig.report();
        assert!(report.is_graceful(), "{report}");
        let counts = &report.services[0].counts;
        assert_eq!((counts.requests, counts.drained, counts.dropped), (1, 1, 0));
    }
}

#[test]
fn in_the_lame_duck_a_stream_of_events_goes_on() {
    let web = Web::with(|s| s.grace(20 * SECOND).lame_duck(10 * SECOND), |server| server);
    let mut client = web.client(1 << 16);
    client.get(1, "/stream/events");
    web.rig.settle();
    client.frames();
    web.rig.signal(Signal::Term);
    web.rig.pass(5 * SECOND);
    assert_eq!(client.frames(), []);
    web.rig.pass(6 * SECOND);
    assert!(client.frames().iter().any(h2::Frame::ends_stream));
}

#[test]
fn any_other_stream_is_waited_for() {
    let web = Web::start();
    let mut client = web.client(1 << 16);
    client.get(1, "/stream/plain");
    web.rig.settle();
    web.rig.signal(Signal::Term);
    web.rig.pass(5 * SECOND);
    assert!(!client.frames().iter().any(h2::Frame::ends_stream));
    web.seen.lines.borrow_mut().clear();
    web.rig.settle();
    web.rig.pass(SECOND / 5);
    assert!(client.frames().iter().any(h2::Frame::ends_stream));
}
