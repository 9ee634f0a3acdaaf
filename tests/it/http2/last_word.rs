//! What clients hear at the deadline.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;

use adieu::hyper::Hyper;
use adieu::{Listener, Signal, Supervisor};

use super::{Paths, SECOND, Seen, Web, kinds, of_kind};
use crate::clients::on_a_thread;
use crate::h2;
use crate::rig::run_with;

/// How a literal field begins whose name is number 53 of the static table (RFC 7541, appendix A).
const RETRY_AFTER: u8 = 0x40 | 53;

fn with_a_second() -> Web {
    Web::with(|supervisor| supervisor.grace(SECOND), |server| server)
}

#[test]
fn requests_without_an_answer_are_refused_if_they_can_be_repeated_and_else_get_503() {
    let methods = [
        ("GET", true),
        ("HEAD", true),
        ("OPTIONS", true),
        ("PUT", true),
        ("DELETE", true),
        ("POST", false),
        ("PATCH", false),
    ];
    let web = with_a_second();
    let mut clients: Vec<_> = methods.iter().map(|_| web.client(1 << 16)).collect();
    for ((method, _), client) in methods.iter().zip(&clients) {
        client.request(1, true, &h2::head(method, "/polled"));
    }
    web.rig.settle();
    let polls = web.seen.polls.get();
    assert_eq!(polls, methods.len() * 2, "once at first, once in its task");
    web.rig.signal(Signal::Term);
    clients.iter_mut().for_each(|client| drop(client.frames()));
    web.rig.pass(2 * SECOND);
    for ((method, may_repeat), client) in methods.iter().zip(&mut clients) {
        let frames = client.frames_unanswered();
        match may_repeat {
            true => {
                assert_eq!(kinds(&frames, 1), [h2::RST_STREAM], "{method}");
                assert_eq!(of_kind(&frames, h2::RST_STREAM)[0].error(), h2::REFUSED_STREAM);
            }
            false => {
                assert_eq!(kinds(&frames, 1), [h2::HEADERS], "{method}");
                let head = &of_kind(&frames, h2::HEADERS)[0];
                assert_eq!((head.status(), head.ends_stream()), (503, true));
                assert!(head.payload.contains(&RETRY_AFTER), "{method}");
            }
        }
        assert!(client.stream.is_closed() && !client.stream.is_reset());
    }
    assert_eq!(web.seen.polls.get(), polls, "no handler gets another turn");
    assert_eq!((web.seen.dropped.get(), web.counts().dropped), (7, 0));
    let report = web.rig.report();
    assert_eq!((report.exit_status(), report.stragglers.len()), (124, 7), "{report}");
    let straggler = report.stragglers[0].connection.as_ref().expect("it is a connection");
    assert_eq!(straggler.request, "GET /polled");
    assert_eq!(report.services[0].counts.cut_off, 7);
}

#[test]
fn the_last_goodbye_tells_which_requests_were_seen() {
    let web = with_a_second();
    let mut client = web.client(1 << 16);
    client.get(1, "/never");
    client.get(3, "/never");
    web.rig.signal(Signal::Term);
    web.rig.pass(2 * SECOND);
    let goodbyes = of_kind(&client.frames_unanswered(), h2::GOAWAY);
    let last: Vec<_> = goodbyes.iter().map(h2::Frame::last_stream).collect();
    assert_eq!(last, [u32::MAX >> 1, 3]);
}

#[test]
fn fifty_connections_hear_it() {
    let web = with_a_second();
    let mut clients: Vec<_> = (0..50).map(|_| web.client(1 << 16)).collect();
    clients.iter().for_each(|client| client.get(1, "/never"));
    web.rig.settle();
    web.rig.signal(Signal::Term);
    web.rig.pass(2 * SECOND);
    for client in &mut clients {
        let frames = client.frames_unanswered();
        let refused = of_kind(&frames, h2::RST_STREAM);
        assert_eq!(refused.iter().map(h2::Frame::error).collect::<Vec<_>>(), [h2::REFUSED_STREAM]);
    }
    assert_eq!(web.rig.report().services[0].counts.cut_off, 50);
}

#[test]
fn a_request_that_was_never_begun_is_refused_whatever_its_method() {
    let web = with_a_second();
    let mut client = web.client(0);
    client.get(1, "/big/2000000");
    client.post(3, "/upload");
    web.rig.settle();
    assert_eq!(web.seen.asked.get(), 1, "the second waits for the first to be taken");
    web.rig.signal(Signal::Term);
    web.rig.pass(2 * SECOND);
    let frames = client.frames_unanswered();
    let refused = of_kind(&frames, h2::RST_STREAM);
    assert_eq!(
        refused.iter().map(|it| (it.stream, it.error())).collect::<Vec<_>>(),
        [(3, h2::REFUSED_STREAM)]
    );
    assert_eq!(web.seen.asked.get(), 1);
}

#[test]
fn nothing_is_added_to_an_answer_that_was_sent_in_part() {
    let web = with_a_second();
    let mut client = web.client(1000);
    client.get(1, "/stream");
    client.get(3, "/big/2000");
    client.get(5, "/never");
    web.rig.settle();
    client.frames();
    web.rig.signal(Signal::Term);
    web.rig.pass(2 * SECOND);
    let frames = client.frames_unanswered();
    assert_eq!((kinds(&frames, 1), kinds(&frames, 3)), (vec![], vec![]));
    assert_eq!(kinds(&frames, 5), [h2::RST_STREAM]);
    assert!(client.stream.is_closed());
}

#[test]
fn a_client_that_takes_nothing_is_not_waited_for() {
    let web = with_a_second();
    let stream = web.rig.network.connect_with_capacity(10).expect("somebody listens");
    let client = h2::Client::over(stream, 1 << 16);
    client.get(1, "/never");
    web.rig.signal(Signal::Term);
    web.rig.pass(2 * SECOND);
    assert_eq!(web.rig.report().exit_status(), 124);
    assert!(client.stream.is_gone());
}

#[test]
fn over_tcp_the_last_word_arrives_though_half_of_the_body_was_not_read() {
    let seen = Rc::new(Seen::default());
    let server = Hyper::bind("127.0.0.1:0", Paths(seen)).expect("a port is free");
    let address = server.listener().address();
    let supervisor = Supervisor::new().grace(SECOND / 2).service("web", server);
    let trigger = supervisor.trigger();
    let client = on_a_thread(move || {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(10 * SECOND)).expect("it can be set");
        stream.write_all(&h2::opening_of("POST", "/never", false)).expect("it takes them");
        // As much as a client may send that has not acknowledged the server's settings.
        for _ in 0..8 {
            stream.write_all(&h2::data_frame(1, &[b'x'; 8000])).expect("it takes them");
        }
        trigger.shut_down();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).map(|_| bytes)
    });
    let (bytes, report) = run_with(supervisor, client);
    let bytes = bytes.expect("the connection is not reset");
    let frames = h2::frames_in(&bytes);
    let head = &of_kind(&frames, h2::HEADERS)[0];
    assert_eq!((head.status(), head.ends_stream()), (503, true));
    assert_eq!(report.exit_status(), 124);
}
