//! The accept loop, with a protocol of four lines: errors of accept, limits, the accept queue.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use adieu::testing::{MemoryListener, MemoryStream, Network, memory, settle};
use adieu::{Connection, Listener, Outcome, Peer, Protocol, Server, Signal, State};
use futures_lite::{AsyncReadExt, AsyncWriteExt};

use crate::rig::Rig;

/// Answers each byte with itself. A `!` makes it panic.
struct Echo;

impl Protocol<MemoryStream> for Echo {
    async fn serve(
        self: Rc<Self>,
        mut stream: MemoryStream,
        connection: Connection,
    ) -> io::Result<()> {
        connection.set_state(State::Active, None);
        let mut byte = [0];
        while stream.read(&mut byte).await? == 1 {
            assert!(byte != *b"!", "an exclamation mark");
            stream.write_all(&byte).await?;
            connection.count_request();
        }
        Ok(())
    }
}

fn echo() -> (Rig, Network) {
    limited_echo(usize::MAX)
}

fn limited_echo(max_connections: usize) -> (Rig, Network) {
    let (listener, network) = memory();
    let server = Server::new(listener, Echo).max_connections(max_connections);
    (Rig::start(|s| s.service("echo", server)), network)
}

fn echoes(rig: &Rig, client: &MemoryStream) -> bool {
    client.send(b"x");
    settle(&rig.executor);
    client.received() == b"x"
}

#[test]
fn out_of_descriptors_it_backs_off_and_recovers() {
    let (rig, network) = echo();
    for code in [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS] {
        network.fail_accept(io::Error::from_raw_os_error(code));
    }
    let client = network.connect().unwrap();
    settle(&rig.executor);
    assert_eq!(network.waiting(), 4, "it waits before it tries again");
    // 5, 10, 20 and 40 ms.
    rig.pass(Duration::from_millis(200));
    assert_eq!(network.waiting(), 0);
    assert!(echoes(&rig, &client));
}

#[test]
fn while_it_backs_off_signals_are_still_heard() {
    let (rig, network) = echo();
    for _ in 0..8 {
        network.fail_accept(io::Error::from_raw_os_error(libc::EMFILE));
    }
    settle(&rig.executor);
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(9));
    assert!(!network.is_open());
    assert!(rig.report().is_graceful());
}

#[test]
fn while_it_backs_off_others_are_served() {
    let (rig, network) = echo();
    let client = network.connect().unwrap();
    settle(&rig.executor);
    network.fail_accept(io::Error::from_raw_os_error(libc::EMFILE));
    settle(&rig.executor);
    assert!(echoes(&rig, &client));
}

#[test]
fn the_back_off_ends_at_one_second() {
    let (rig, network) = echo();
    for _ in 0..20 {
        network.fail_accept(io::Error::from_raw_os_error(libc::EMFILE));
    }
    rig.pass(Duration::from_secs(3));
    let left = network.waiting();
    rig.pass(Duration::from_secs(5));
    assert!(left - network.waiting() >= 4, "{left} then {}", network.waiting());
}

#[test]
fn a_connection_that_broke_in_the_queue_costs_nothing() {
    let (rig, network) = echo();
    network.fail_accept(io::Error::from_raw_os_error(libc::ECONNABORTED));
    network.fail_accept(io::Error::from_raw_os_error(libc::EPROTO));
    let client = network.connect().unwrap();
    assert!(echoes(&rig, &client));
}

#[test]
fn a_broken_listener_fails_the_service() {
    let (rig, network) = echo();
    network.fail_accept(io::Error::from_raw_os_error(libc::EBADF));
    let report = rig.report();
    assert!(matches!(report.service("echo").unwrap().outcome, Outcome::Failed(_)));
    assert_eq!(report.exit_status(), 1);
}

#[test]
fn at_the_limit_clients_wait_in_the_queue_until_one_closes() {
    let (rig, network) = limited_echo(2);
    let first = network.connect().unwrap();
    let second = network.connect().unwrap();
    let third = network.connect().unwrap();
    assert!(echoes(&rig, &first) && echoes(&rig, &second));
    assert!(!echoes(&rig, &third));
    assert_eq!(network.waiting(), 1);
    drop(first);
    settle(&rig.executor);
    assert_eq!(third.received(), b"x");
}

#[test]
fn at_the_limit_the_loop_does_not_spin() {
    let (rig, network) = limited_echo(1);
    let _first = network.connect().unwrap();
    let _second = network.connect().unwrap();
    // If it did, this would never return.
    settle(&rig.executor);
    assert_eq!(network.waiting(), 1);
}

#[test]
fn a_peer_with_too_many_connections_is_refused_one_more_until_one_closes() {
    let (listener, network) = memory();
    let server = Server::new(listener, Echo).max_connections_per_peer(2);
    let rig = Rig::start(|s| s.service("echo", server));
    let connect = |number| {
        let client = network.connect_as(number).unwrap();
        settle(&rig.executor);
        client
    };
    let (first, second, other) = (connect(1), connect(1), connect(2));
    let third = connect(1);
    assert!(third.is_gone());
    assert!([&first, &second, &other].into_iter().all(|client| echoes(&rig, client)));
    drop(first);
    settle(&rig.executor);
    assert!(echoes(&rig, &connect(1)));
    drop((second, other));
    rig.signal(Signal::Term);
    let report = rig.report();
    let counts = &report.service("echo").unwrap().counts;
    assert_eq!((counts.accepted, counts.refused), (4, 1));
    assert!(report.to_string().contains("1 refused"), "{report}");
}

#[test]
fn by_default_a_peer_may_have_any_number_of_connections() {
    let (rig, network) = echo();
    let clients: Vec<_> = (0..1000).map(|_| network.connect_as(1).unwrap()).collect();
    assert!(clients.iter().all(|client| echoes(&rig, client)));
}

#[test]
fn the_accept_queue_is_emptied_before_the_listener_closes() {
    let (rig, network) = echo();
    // In the queue, with a byte sent, when the signal comes: nothing has run since.
    let clients: Vec<_> = (0..100).map(|_| network.connect().unwrap()).collect();
    clients.iter().for_each(|client| client.send(b"x"));
    rig.signal(Signal::Term);
    assert!(!network.is_open());
    assert!(clients.iter().all(|client| client.received() == b"x"));
}

#[test]
fn at_the_limit_the_accept_queue_is_emptied_all_the_same() {
    let (rig, network) = limited_echo(1);
    let clients: Vec<_> = (0..3).map(|_| network.connect().unwrap()).collect();
    assert!(echoes(&rig, &clients[0]));
    clients[1].send(b"x");
    rig.signal(Signal::Term);
    assert!(!network.is_open());
    assert_eq!(clients[1].received(), b"x");
}

#[test]
fn nothing_is_accepted_after_the_drain_began() {
    let (rig, network) = echo();
    rig.signal(Signal::Term);
    assert_eq!(network.connect().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_connection_counts_from_accept() {
    let (rig, network) = echo();
    let clients: Vec<_> = (0..3).map(|_| network.connect().unwrap()).collect();
    settle(&rig.executor);
    rig.signal(Signal::Term);
    drop(clients);
    let report = rig.report();
    assert_eq!(report.service("echo").unwrap().counts.accepted, 3);
    assert_eq!(report.service("echo").unwrap().counts.drained, 3);
}

#[test]
fn a_panic_costs_one_connection_and_is_counted() {
    let (rig, network) = echo();
    let bad = network.connect().unwrap();
    let good = network.connect().unwrap();
    bad.send(b"!");
    settle(&rig.executor);
    assert!(bad.is_gone());
    assert!(echoes(&rig, &good));
    drop(good);
    rig.signal(Signal::Term);
    let report = rig.report();
    assert_eq!(report.service("echo").unwrap().counts.panicked, 1);
    assert_eq!(report.exit_status(), 0);
}

#[test]
fn a_connection_that_misses_the_deadline_is_named_with_peer_state_and_age() {
    let (rig, network) = echo();
    let _client = network.connect().unwrap();
    settle(&rig.executor);
    rig.pass(Duration::from_secs(5));
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(10));
    let report = rig.report();
    let counts = &report.service("echo").unwrap().counts;
    assert_eq!((counts.accepted, counts.cut_off), (1, 1));
    let straggler = report.stragglers[0].connection.as_ref().unwrap();
    assert_eq!(straggler.peer.to_string(), "client 1");
    assert_eq!(straggler.state, State::Active);
    assert_eq!(straggler.age, Duration::from_secs(15));
    assert_eq!(
        report.stragglers[0].to_string(),
        "echo: client 1 active for 15.0 s, waits for the handler, open for 15.0 s"
    );
    assert_eq!(report.exit_status(), 124);
}

#[test]
fn at_the_deadline_sockets_close() {
    let (rig, network) = echo();
    let client = network.connect().unwrap();
    assert!(echoes(&rig, &client));
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(10));
    rig.report();
    assert!(client.is_gone());
}

#[test]
fn what_a_protocol_counts_is_in_the_report() {
    let (rig, network) = echo();
    let client = network.connect().unwrap();
    assert!(echoes(&rig, &client) && echoes(&rig, &client));
    drop(client);
    rig.signal(Signal::Term);
    assert_eq!(rig.report().services[0].counts.requests, 2);
}

/// A listener whose port has a successor: handshakes that have begun here end here.
struct Shared {
    inner: MemoryListener,
    under_way: Rc<Cell<bool>>,
}

impl Listener for Shared {
    type Stream = MemoryStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(MemoryStream, Peer)>> {
        self.inner.poll_accept(cx)
    }

    fn address(&self) -> String {
        self.inner.address()
    }

    fn refuse_newcomers(&mut self) -> Duration {
        Duration::from_millis(500)
    }

    fn has_half_open(&mut self) -> bool {
        self.under_way.get()
    }
}

fn shared_echo() -> (Rig, Network, Rc<Cell<bool>>) {
    let (inner, network) = memory();
    let under_way = Rc::new(Cell::new(true));
    let listener = Shared { inner, under_way: under_way.clone() };
    (Rig::start(|s| s.service("echo", Server::new(listener, Echo))), network, under_way)
}

#[test]
fn on_a_shared_port_handshakes_that_are_under_way_at_the_shutdown_are_served() {
    let (rig, network, under_way) = shared_echo();
    rig.signal(Signal::Term);
    rig.pass(Duration::from_millis(100));
    let late = network.connect().unwrap();
    rig.pass(Duration::from_millis(50));
    assert!(echoes(&rig, &late));
    under_way.set(false);
    rig.pass(Duration::from_millis(50));
    assert!(!network.is_open(), "there is nobody to wait for any more");
    drop(late);
    assert!(rig.report().is_graceful());
}

#[test]
fn on_a_shared_port_a_handshake_that_does_not_end_is_waited_for_half_a_second() {
    let (rig, network, _under_way) = shared_echo();
    rig.signal(Signal::Term);
    rig.pass(Duration::from_millis(450));
    assert!(network.is_open());
    rig.pass(Duration::from_millis(50));
    assert!(!network.is_open());
    assert!(rig.report().is_graceful());
}

#[test]
fn after_the_deadline_a_starved_accept_waits_for_a_connection_that_closes_and_does_not_spin() {
    let (listener, network) = memory();
    let server = Server::new(listener, Polite);
    let rig = Rig::start(|s| s.grace(Duration::ZERO).service("polite", server));
    let idle = network.connect().unwrap();
    settle(&rig.executor);
    rig.send(Signal::Term);
    network.fail_accept(io::Error::from_raw_os_error(libc::EMFILE));
    let _waiting = network.connect().unwrap();
    settle(&rig.executor);
    assert!(idle.is_gone(), "it has left room");
    let report = rig.report();
    assert!(report.is_graceful(), "{report}");
    assert_eq!(report.services[0].counts.accepted, 2);

    let (rig, network) = echo();
    rig.send(Signal::Quit);
    for _ in 0..1000 {
        network.fail_accept(io::Error::from_raw_os_error(libc::EMFILE));
    }
    // There was no connection that could have closed: so whoever may wait in the queue is cut off.
    let report = rig.report();
    assert_eq!(report.exit_status(), 131);
    assert_eq!(report.stragglers[0].to_string(), "echo: still running");
}

/// Says nothing, and closes when the drain begins.
struct Polite;

impl Protocol<MemoryStream> for Polite {
    async fn serve(self: Rc<Self>, stream: MemoryStream, connection: Connection) -> io::Result<()> {
        connection.set_state(State::Idle, None);
        connection.shutdown().begun().await;
        drop(stream);
        Ok(())
    }
}
