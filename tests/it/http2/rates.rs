//! Clients that move a byte now and then: bodies and answers have a least rate.

use adieu::hyper::Limits;
use adieu::{Counts, Supervisor};

use super::{SECOND, Web, kinds, of_kind};
use crate::h2::{self, content};

fn with(limits: Limits) -> Web {
    Web::with(|supervisor: Supervisor| supervisor, |server| server.limits(limits))
}

/// When a body that brings so many bytes a second is answered, and with what status.
fn drip(web: &Web, a_second: usize) -> Option<(u32, u16)> {
    let mut client = web.client(1 << 16);
    client.post(1, "/upload");
    for passed in 0..60 {
        if let Some(head) = of_kind(&client.frames(), h2::HEADERS).first() {
            return Some((passed, head.status()));
        }
        if a_second > 0 {
            client.data(1, false, &vec![b'x'; a_second]);
        }
        web.rig.pass(SECOND);
    }
    None
}

#[test]
fn a_body_that_drips_is_answered_with_408_after_five_seconds() {
    let web = Web::start();
    assert!(matches!(drip(&web, 1), Some((5..=6, 408))), "a byte each second");
    assert_eq!(drip(&web, 300), None, "it is fast enough");
    let lazy = with(Limits { body_rate: 0, ..Limits::default() });
    assert_eq!(drip(&lazy, 1), None, "there is no rate");
    assert!(matches!(drip(&lazy, 0), Some((30..=31, 408))), "there is a time");
}

#[test]
fn bodies_that_come_side_by_side_share_the_rate() {
    let web = Web::start();
    let client = web.client(1 << 16);
    let streams: Vec<u32> = (0..10).map(|number| number * 2 + 1).collect();
    streams.iter().for_each(|stream| client.post(*stream, "/upload"));
    for _ in 0..60 {
        streams.iter().for_each(|stream| client.data(*stream, false, &[b'x'; 30]));
        web.rig.pass(SECOND);
    }
    assert_eq!((web.counts().requests, web.seen.asked.get()), (0, 10), "none was cut");
}

#[test]
fn a_handler_may_be_as_slow_as_it_likes() {
    let web = Web::start();
    let mut client = web.client(1 << 16);
    client.post(1, "/sleep/100");
    client.data(1, false, b"half");
    web.rig.pass(101 * SECOND);
    // The reset without an error says that the rest of the body need not come.
    assert_eq!(kinds(&client.frames(), 1), [h2::HEADERS, h2::DATA, h2::RST_STREAM]);
}

/// When the answer to a client is cut that takes so many bytes of it each second; `None`: not in a minute.
fn takes(web: &Web, a_second: u32) -> Option<u32> {
    let mut client = web.client(1000);
    client.widen(0, 1 << 30);
    client.get(1, "/big/100000");
    web.rig.settle();
    for passed in 0..60 {
        let resets = of_kind(&client.frames(), h2::RST_STREAM);
        if let Some(reset) = resets.first() {
            assert_eq!(reset.error(), h2::CANCEL);
            return Some(passed);
        }
        if a_second > 0 {
            client.widen(1, a_second);
        }
        web.rig.pass(SECOND);
    }
    None
}

#[test]
fn an_answer_that_is_taken_byte_by_byte_is_cancelled() {
    let web = Web::start();
    // A thousand bytes at once are worth four seconds more.
    assert_eq!(takes(&web, 1), Some(10), "a byte each second");
    assert_eq!(takes(&web, 300), None);
    let lazy = with(Limits { answer_rate: 0, ..Limits::default() });
    assert_eq!(takes(&lazy, 1), None);
    assert!(matches!(takes(&lazy, 0), Some(30..=31)));
}

#[test]
fn answers_that_are_taken_side_by_side_share_the_rate() {
    let web = Web::start();
    let mut client = web.client(0);
    client.widen(0, 1 << 30);
    let streams: Vec<u32> = (0..10).map(|number| number * 2 + 1).collect();
    streams.iter().for_each(|stream| client.get(*stream, "/big/100000"));
    let mut frames = Vec::new();
    for _ in 0..60 {
        streams.iter().for_each(|stream| client.widen(*stream, 30));
        web.rig.pass(SECOND);
        frames.extend(client.frames());
    }
    assert!(of_kind(&frames, h2::RST_STREAM).is_empty());
    assert_eq!(content(&frames), 10 * 60 * 30);
}

/// After how many seconds a connection ends whose socket takes so many bytes each second.
fn socket_takes(web: &Web, a_second: usize) -> Option<u32> {
    let stream = web.rig.network.connect_with_capacity(1000).expect("somebody listens");
    let client = h2::Client::over(stream, 1 << 30);
    client.widen(0, 1 << 29);
    client.get(1, "/big/1000000");
    web.rig.settle();
    for passed in 0..60 {
        if client.stream.is_gone() {
            return Some(passed);
        }
        client.stream.receive(a_second);
        web.rig.pass(SECOND);
    }
    None
}

#[test]
fn a_socket_that_takes_a_byte_each_second_is_closed() {
    let web = Web::start();
    assert!(matches!(socket_takes(&web, 1), Some(9..=11)));
    assert_eq!(socket_takes(&web, 300), None);
    let lazy = with(Limits { answer_rate: 0, ..Limits::default() });
    assert_eq!(socket_takes(&lazy, 1), None);
    assert!(matches!(socket_takes(&lazy, 0), Some(30..=31)));
    let Counts { requests, .. } = web.counts();
    assert_eq!(requests, 0);
}
