//! Raw TCP: a handler with a stream.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io;
use std::mem::take;
use std::net::TcpStream as StdStream;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use adieu::testing::{MemoryStream, Network, memory, settle};
use adieu::{
    ClientEnd, Connection, Listener, Outcome, Server, Signal, State, Stream, Supervisor, Tcp,
    TcpListener,
};
use futures_lite::{AsyncReadExt, AsyncWriteExt};

use crate::rig::{self, Rig, ask, connect, text};
use crate::{bound, clients, tools};

/// How old a connection may get without a byte when the drain begins.
const MOMENT: Duration = Duration::from_millis(20);

async fn echo<S: Stream>(stream: &mut S, connection: &Connection) -> io::Result<()> {
    let mut bytes = Vec::new();
    while connection.read(stream, &mut bytes).await? > 0 {
        stream.write_all(&take(&mut bytes)).await?;
    }
    Ok(())
}

/// A service named `tcp` under a supervisor of its own.
fn serve<F>(handler: F) -> (Rig, Network)
where
    F: AsyncFn(&mut MemoryStream, &Connection) -> io::Result<()> + 'static,
{
    rig::serve("tcp", Tcp::new(handler))
}

#[test]
fn what_is_sent_comes_back() {
    let (rig, network) = serve(echo);
    let client = ask(&rig, &network, b"one");
    assert_eq!(text(&client), "one");
    client.send(b"two");
    settle(&rig.executor);
    assert_eq!(text(&client), "two");
}

#[test]
fn an_idle_connection_is_closed_by_the_drain() {
    let (rig, network) = serve(echo);
    let client = connect(&rig, &network);
    rig.pass(MOMENT);
    rig.signal(Signal::Term);
    assert!(client.is_closed());
    drop(client);
    settle(&rig.executor);
    let report = rig.report();
    assert!(report.is_graceful());
    assert_eq!(report.services[0].counts.drained, 1, "its handler was told, and came to an end");
}

#[test]
fn a_newcomer_gets_a_moment_for_its_first_byte_and_only_a_newcomer() {
    let (rig, network) = serve(echo);
    // One has said something already.
    let known = ask(&rig, &network, b"known");
    let (talks, is_silent) = (connect(&rig, &network), connect(&rig, &network));
    rig.clock.advance(MOMENT / 2);
    let late = network.connect().expect("it listens");
    rig.signal(Signal::Term);
    assert!(known.is_closed() && text(&known) == "known");
    assert!(!talks.is_closed() && !is_silent.is_closed() && !late.is_closed());
    talks.send(b"here");
    rig.settle();
    assert!(talks.is_closed() && text(&talks) == "here");
    rig.clock.advance(MOMENT / 2);
    rig.settle();
    assert!(is_silent.is_closed() && text(&is_silent).is_empty());
    assert!(!late.is_closed(), "it was accepted later");
    rig.clock.advance(MOMENT / 2);
    rig.settle();
    assert!(late.is_closed());
}

#[test]
fn an_age_or_a_lame_duck_that_is_spread_gives_no_moment() {
    let (listener, network) = memory();
    let server = Server::new(listener, Tcp::new(echo)).max_age(Duration::from_millis(10));
    let rig = Rig::start(|s| s.service("tcp", server));
    let client = connect(&rig, &network);
    rig.pass(Duration::from_millis(100));
    assert!(client.is_closed());
}

#[test]
fn what_a_read_tells_of_the_clients_end_is_noted() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let noted = seen.clone();
    let (rig, network) = serve(async move |stream: &mut MemoryStream, connection: &Connection| {
        let before = connection.client();
        let read = connection.read(stream, &mut Vec::new()).await.map_err(|error| error.kind());
        noted.borrow_mut().push((before, read, connection.client()));
        Ok(())
    });
    let client = ask(&rig, &network, b"word");
    drop(client);
    let client = connect(&rig, &network);
    client.half_close().expect("it is open");
    rig.settle();
    let client = connect(&rig, &network);
    client.reset_on_close(true);
    drop(client);
    rig.settle();
    let expected = [
        (ClientEnd::Open, Ok(4), ClientEnd::Open),
        (ClientEnd::Open, Ok(0), ClientEnd::Closed),
        (ClientEnd::Open, Err(io::ErrorKind::ConnectionReset), ClientEnd::Gone),
    ];
    assert_eq!(*seen.borrow(), expected);
    let client = connect(&rig, &network);
    rig.signal(Signal::Term);
    rig.pass(MOMENT);
    assert!(client.is_closed());
    assert_eq!(
        seen.borrow()[3].2,
        ClientEnd::Open,
        "an end that the shutdown makes is not the client's"
    );
}

#[test]
fn bytes_that_are_there_when_shutdown_begins_are_served() {
    let (rig, network) = serve(echo);
    let known = connect(&rig, &network);
    let waiting = network.connect().expect("it listens");
    known.send(b"known");
    waiting.send(b"waiting");
    rig.signal(Signal::Term);
    assert_eq!(known.received(), b"known");
    assert_eq!(waiting.received(), b"waiting");
    assert!(known.is_closed() && waiting.is_closed());
}

#[test]
fn a_handler_may_say_goodbye() {
    let (rig, network) = serve(async |stream: &mut MemoryStream, connection: &Connection| {
        connection.shutdown().begun().await;
        stream.write_all(b"goodbye").await
    });
    let client = connect(&rig, &network);
    assert_eq!(client.received(), b"");
    rig.signal(Signal::Term);
    assert_eq!(client.received(), b"goodbye");
    assert!(client.is_closed());
    assert!(!client.is_gone(), "what was said last must be read before the socket goes");
    rig.pass(Duration::from_millis(500));
    assert!(client.is_gone() && !client.is_reset(), "it is whole");
    let report = rig.report();
    assert!(report.is_graceful());
    assert_eq!(report.services[0].counts.drained, 1);
}

#[test]
fn a_handler_that_does_not_end_is_cut_off_and_named() {
    let dropped = Rc::new(Cell::new(false));
    struct Guard(Rc<Cell<bool>>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let seen = dropped.clone();
    let (rig, network) = serve(async move |_: &mut MemoryStream, _: &Connection| {
        let _guard = Guard(seen.clone());
        pending().await
    });
    let client = connect(&rig, &network);
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(10));
    let report = rig.report();
    assert!(dropped.get());
    assert!(client.is_gone() && client.is_reset(), "what it said does not look whole");
    assert!(matches!(report.services[0].outcome, Outcome::CutOff));
    let straggler = report.stragglers[0].connection.as_ref().expect("it is a connection");
    assert_eq!(straggler.state, State::Upgraded);
    assert_eq!(straggler.peer.to_string(), "client 1");
    assert_eq!(report.exit_status(), 124);
}

#[test]
fn a_panic_costs_one_connection() {
    let (rig, network) = serve(async |stream: &mut MemoryStream, connection: &Connection| {
        let mut bytes = Vec::new();
        connection.read(stream, &mut bytes).await?;
        assert_ne!(bytes, b"panic");
        stream.write_all(&bytes).await
    });
    let (unlucky, lucky) = (connect(&rig, &network), connect(&rig, &network));
    unlucky.send(b"panic");
    lucky.send(b"calm");
    settle(&rig.executor);
    assert!(unlucky.is_gone() && unlucky.is_reset());
    assert_eq!(lucky.received(), b"calm");
    drop(lucky);
    rig.signal(Signal::Term);
    let report = rig.report();
    assert_eq!(report.services[0].counts.panicked, 1);
    assert!(report.is_graceful());
}

#[test]
fn an_error_of_a_handler_resets_at_once() {
    let (rig, network) = serve(async |stream: &mut MemoryStream, _: &Connection| {
        stream.write_all(b"the first half").await?;
        Err(io::Error::other("no"))
    });
    let client = connect(&rig, &network);
    assert!(client.is_gone() && client.is_reset());
}

#[test]
fn netcat_is_echoed_and_let_go() {
    let Some(nc) = clients::tool("nc", "netcat-openbsd") else { return };
    let server = Tcp::bind("127.0.0.1:0", echo).expect("a port is free");
    let port = server.listener().port().expect("it is TCP");
    let supervisor = Supervisor::new().service("echo", server);
    let trigger = supervisor.trigger();
    let client = async {
        let mut command = Command::new("sh");
        command.args(["-c", "printf 'hello\\n' | \"$0\" -N 127.0.0.1 \"$1\""]);
        command.arg(nc).arg(port.to_string());
        let echoed = clients::stdout(command).await;
        trigger.shut_down();
        echoed
    };
    let (echoed, report) = rig::run_with(supervisor, client);
    assert_eq!(echoed, "hello\n");
    assert!(report.is_graceful());
}

#[test]
fn a_client_that_only_connects_over_tcp_is_let_go_at_once() {
    let server = Tcp::bind("127.0.0.1:0", echo).expect("a port is free");
    let address = server.listener().local_addr().expect("it is TCP");
    let supervisor = Supervisor::new().service("echo", server);
    let trigger = supervisor.trigger();
    let client = async {
        let mut stream = smol::net::TcpStream::connect(address).await?;
        stream.write_all(b"x").await?;
        stream.read_exact(&mut [0]).await?;
        trigger.shut_down();
        stream.read(&mut [0]).await
    };
    let (end, report) = rig::run_with(supervisor, client);
    assert_eq!(end.expect("it is closed in good order"), 0);
    assert!(report.is_graceful());
}

#[test]
#[cfg(target_os = "linux")]
fn while_a_listener_closes_newcomers_are_kept_away_and_its_queue_is_served() {
    let mut listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr();
    let _queued = bound::connect(address).expect("it listens");
    let wait = listener.refuse_newcomers();
    if wait.is_zero() && !rustix::process::geteuid().is_root() {
        return tools::skipped("this kernel lets only root attach a socket filter");
    }
    assert!(!wait.is_zero());
    // Its SYN is dropped, and would be sent again after a second.
    let late = StdStream::connect_timeout(&address, Duration::from_millis(50));
    assert_eq!(late.expect_err("it closes").kind(), io::ErrorKind::TimedOut);
    assert!(rig::accepts(&mut listener));
    assert!(!rig::accepts(&mut listener), "the queue is empty");
}

#[test]
#[cfg(target_os = "linux")]
fn two_listeners_of_one_process_do_not_share_a_port() {
    let first = bound::block_on(async { TcpListener::bind_shared("127.0.0.1:0") }).unwrap();
    let port = first.local_addr().port();
    let bind = |host: &str| TcpListener::bind_shared(&format!("{host}:{port}"));
    for host in ["127.0.0.1", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]"] {
        let error = bind(host).unwrap_err().to_string();
        assert!(error.ends_with(": this process listens there already"), "{error}");
    }
    let other = bind("127.0.0.2").unwrap();
    drop((first, other));
    bind("[::]").unwrap();
}
