//! Clients that go: they reset their stream or the connection, or close it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use adieu::hyper::Hyper;
use adieu::{ClientEnd, Listener, Signal, Stream, Supervisor};

use super::{Paths, SECOND, Seen, Web, kinds};
use crate::clients::on_a_thread;
use crate::h2::{self, Client};
use crate::rig::run_with;

/// How a client goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Goes {
    ResetsStream,
    ResetsConnection,
    Closes,
}

const WAYS: [Goes; 3] = [Goes::ResetsStream, Goes::ResetsConnection, Goes::Closes];

impl Goes {
    /// What is left of the client.
    fn act(self, web: &Web, mut client: Client) -> Option<Client> {
        client.frames();
        let left = match self {
            Goes::ResetsStream => {
                client.reset(1, h2::CANCEL);
                Some(client)
            }
            Goes::ResetsConnection => {
                client.stream.reset_on_close(true);
                drop(client);
                None
            }
            Goes::Closes => {
                drop(client);
                None
            }
        };
        web.rig.settle();
        left
    }
}

#[test]
fn the_handler_of_a_client_that_is_gone_is_dropped_and_counted() {
    for goes in WAYS {
        for path in ["/never", "/told_and_on", "/sleep/60"] {
            let web = Web::start();
            let client = web.client(1 << 16);
            client.get(1, path);
            web.rig.settle();
            let left = goes.act(&web, client);
            let seen = (web.seen.dropped.get(), web.counts().dropped);
            assert_eq!(seen, (1, 1), "{path}, which {goes:?}");
            // It is not a request that was answered.
            assert_eq!(web.counts().requests, 0);
            drop(left);
        }
    }
}

#[test]
fn the_body_of_an_answer_to_a_client_that_is_gone_is_dropped_and_counted() {
    for goes in WAYS {
        let web = Web::start();
        let client = web.client(1 << 16);
        client.get(1, "/stream");
        web.rig.settle();
        let _left = goes.act(&web, client);
        assert!(web.seen.lines.borrow()[0].is_closed(), "{goes:?}");
        assert_eq!((web.seen.dropped.get(), web.counts().dropped), (0, 1), "{goes:?}");
    }
}

#[test]
fn other_streams_of_a_client_that_resets_one_go_on() {
    let web = Web::start();
    let mut client = web.client(1 << 16);
    client.get(1, "/never");
    client.get(3, "/sleep/1");
    web.rig.settle();
    client.reset(1, h2::CANCEL);
    web.rig.pass(SECOND);
    assert!(client.frames().iter().any(|frame| frame.stream == 3 && frame.ends_stream()));
    assert_eq!((web.seen.dropped.get(), web.counts().dropped), (1, 1));
}

#[test]
fn a_handler_that_is_not_dropped_hears_that_its_client_is_gone_and_works_on() {
    for goes in WAYS {
        let web = Web::with(|s| s, |server| server.drop_handler_when_client_goes(false));
        let client = web.client(1 << 16);
        client.get(1, "/told_and_on");
        web.rig.settle();
        assert_eq!(web.seen.told.get(), 0);
        let left = goes.act(&web, client);
        web.rig.pass(5 * SECOND);
        assert_eq!((web.seen.told.get(), web.seen.dropped.get()), (1, 0), "{goes:?}");
        // In the drain nobody waits for it.
        web.rig.signal(Signal::Term);
        drop(left);
        web.rig.settle();
        assert_eq!(web.seen.dropped.get(), 1, "{goes:?}");
        let report = web.rig.report();
        assert!(report.is_graceful(), "{report}");
        assert_eq!(report.services[0].counts.dropped, 1);
    }
}

#[test]
fn a_handler_that_ends_after_its_client_has_gone_is_not_called_dropped() {
    for goes in WAYS {
        let web = Web::with(|s| s, |server| server.drop_handler_when_client_goes(false));
        let client = web.client(1 << 16);
        client.get(1, "/told");
        web.rig.settle();
        let _left = goes.act(&web, client);
        web.rig.settle();
        assert_eq!((web.seen.told.get(), web.seen.dropped.get()), (1, 0), "{goes:?}");
        assert_eq!((web.counts().dropped, web.counts().requests), (0, 0));
    }
}

#[test]
fn a_client_that_has_closed_its_side_gets_its_answers() {
    for in_drain in [false, true] {
        let web = Web::start();
        let mut client = web.client(1 << 16);
        client.get(1, "/sleep/5");
        client.get(3, "/");
        client.stream.half_close().expect("it is open");
        web.rig.settle();
        if in_drain {
            web.rig.signal(Signal::Term);
        }
        web.rig.pass(2 * SECOND);
        let mut frames = client.frames_unanswered();
        assert!(!client.stream.is_closed());
        web.rig.pass(3 * SECOND + SECOND / 10);
        frames.extend(client.frames_unanswered());
        for stream in [1, 3] {
            assert_eq!(kinds(&frames, stream), [h2::HEADERS, h2::DATA], "in the drain: {in_drain}");
        }
        assert!(client.stream.is_closed(), "nothing is in flight any more");
        assert_eq!((web.counts().requests, web.counts().dropped), (2, 0));
        if in_drain {
            assert!(web.rig.report().is_graceful());
        }
    }
}

#[test]
fn a_client_that_has_closed_its_side_between_requests_is_done() {
    let web = Web::start();
    let mut client = web.client(1 << 16);
    client.get(1, "/");
    web.rig.settle();
    client.frames();
    client.stream.half_close().expect("it is open");
    web.rig.settle();
    assert!(client.stream.is_gone());
    assert_eq!(client.frames_unanswered().len(), 0);
}

#[test]
fn a_client_that_has_closed_its_side_in_the_midst_of_a_body_gets_400() {
    let web = Web::start();
    let mut client = web.client(1 << 16);
    client.post(1, "/upload");
    client.data(1, false, b"half");
    client.stream.half_close().expect("it is open");
    web.rig.settle();
    let frames = client.frames_unanswered();
    let head = frames.iter().find(|frame| frame.stream == 1).expect("an answer");
    assert_eq!((head.status(), web.counts().dropped), (400, 0));
}

#[test]
fn a_client_that_goes_after_it_has_closed_its_side_is_found_out() {
    let web = Web::start();
    let client = web.client(1 << 16);
    client.get(1, "/never");
    client.stream.half_close().expect("it is open");
    web.rig.pass(10 * SECOND);
    assert_eq!(web.seen.dropped.get(), 0);
    drop(client);
    web.rig.pass(SECOND);
    assert_eq!((web.seen.dropped.get(), web.counts().dropped), (1, 1));
}

#[test]
fn the_report_says_that_the_client_has_closed_its_side() {
    let web = Web::with(|supervisor| supervisor.grace(SECOND), |server| server);
    let client = web.client(1 << 16);
    client.get(1, "/never");
    client.stream.half_close().expect("it is open");
    web.rig.signal(Signal::Term);
    web.rig.pass(2 * SECOND);
    let report = web.rig.report();
    let straggler = report.stragglers[0].connection.as_ref().expect("it is a connection");
    assert_eq!((straggler.client, straggler.request.as_str()), (ClientEnd::Closed, "GET /never"));
    assert!(report.to_string().contains("the client has closed its side"), "{report}");
}

/// A client over TCP that has asked for `path`, and has read what came so far.
fn over_tcp(address: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_millis(300))).expect("it can be set");
    let bytes = h2::opening(path);
    stream.write_all(&bytes).expect("it takes them");
    let _until_nothing_comes = stream.read_to_end(&mut Vec::new());
    stream
}

#[test]
fn over_tcp_a_client_that_has_closed_is_found_out_and_not_waited_for() {
    let seen = std::rc::Rc::new(Seen::default());
    let server = Hyper::bind("127.0.0.1:0", Paths(seen.clone())).expect("a port is free");
    let address = server.listener().address();
    let supervisor = Supervisor::new().service("web", server);
    let trigger = supervisor.trigger();
    let client = on_a_thread(move || {
        // It closes with nothing unread, so that its system sends no reset by itself.
        drop(over_tcp(&address, "/never"));
        std::thread::sleep(Duration::from_millis(1000));
        let began = Instant::now();
        trigger.shut_down();
        began
    });
    let (began, report) = run_with(supervisor, client);
    assert!(began.elapsed() < SECOND, "it was waited for");
    assert!(report.is_graceful(), "{report}");
    assert_eq!((seen.dropped.get(), report.services[0].counts.dropped), (1, 1));
}

#[test]
fn over_tcp_a_client_that_has_closed_its_side_is_answered() {
    let seen = std::rc::Rc::new(Seen::default());
    let server = Hyper::bind("127.0.0.1:0", Paths(seen)).expect("a port is free");
    let address = server.listener().address();
    let supervisor = Supervisor::new().service("web", server);
    let trigger = supervisor.trigger();
    let client = on_a_thread(move || {
        let mut stream = over_tcp(&address, "/sleep/2");
        stream.shutdown(std::net::Shutdown::Write).expect("it is open");
        stream.set_read_timeout(Some(10 * SECOND)).expect("it can be set");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("it ends well");
        trigger.shut_down();
        bytes
    });
    let (bytes, report) = run_with(supervisor, client);
    assert!(bytes.windows(5).any(|part| part == b"hello"), "{bytes:?}");
    assert_eq!(report.services[0].counts.requests, 1);
}
