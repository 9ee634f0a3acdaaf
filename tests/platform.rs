//! The real binary as a platform runs it: its signals, its probes, its place under systemd, its restarts.
#![cfg(feature = "bin")]

mod child;

use std::process::Command;
use std::time::{Duration, Instant};

use child::bound::{self, connect};
use child::tools::permitted;
use child::{GET, Server, adieu, answer, ask, example};

const LISTEN: [&str; 2] = ["--listen", "web=127.0.0.1:0"];

#[test]
fn sigquit_does_not_wait_and_names_whom_it_has_cut_off() {
    let (server, address) = Server::start(&["--delay", "30s"]);
    let client = ask(address, GET);
    let mut other = ask(address, b"GET / HTTP/1.0\r\n");
    let peer = client.local_addr().unwrap();
    // Once a later connection has its answer, the earlier one is in flight.
    std::io::Write::write_all(&mut other, b"bad head\r\n\r\n").unwrap();
    assert!(answer(&mut other).starts_with("HTTP/1.1 400"));
    server.signal(libc::SIGQUIT);
    let (code, said, took) = server.end();
    assert_eq!(code, Some(131), "{said}");
    assert!(said.contains(&format!("cut off: web: {peer} active for")), "{said}");
    assert!(said.contains("cut short by SIGQUIT"), "{said}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn sigquit_finds_a_blocked_thread_within_a_second() {
    let mut server = Server::spawn(example("stall").args(["--listen", "127.0.0.1:0"]));
    let address = server.listening();
    let _client = ask(address, b"GET /block HTTP/1.1\r\nHost: test\r\n\r\n");
    server.wait_for("blocking");
    server.signal(libc::SIGQUIT);
    let (code, said, took) = server.end();
    assert_eq!(code, Some(124), "{said}");
    assert!(took < Duration::from_millis(1500), "{took:?}");
}

#[test]
fn sighup_is_a_signal_to_end_like_any_other() {
    let (server, _) = Server::start(&[]);
    server.signal(libc::SIGHUP);
    let (code, said, _) = server.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("a graceful bye"), "{said}");
}

#[test]
fn sighup_stays_ignored_under_nohup() {
    let mut nohup = Command::new("nohup");
    nohup.arg(env!("CARGO_BIN_EXE_adieu")).args(LISTEN).env_remove("RUST_LOG");
    let mut server = Server::spawn(&mut nohup);
    let address = server.listening();
    server.signal(libc::SIGHUP);
    let mut client = ask(address, b"GET / HTTP/1.0\r\n\r\n");
    assert!(answer(&mut client).ends_with("Hello from web"));
    server.signal(libc::SIGTERM);
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn the_second_signal_can_be_told_to_do_nothing_and_every_exit_code_can_be_set() {
    let start = || {
        let mut server = Server::spawn(example("stubborn").args(["--listen", "127.0.0.1:0"]));
        let address = server.listening();
        let client = ask(address, b"GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        server.wait_for("asked");
        server.signal(libc::SIGTERM);
        server.wait_for("shutting down");
        std::thread::sleep(child::NO_PAIR);
        (server, client)
    };
    let (server, _client) = start();
    server.signal(libc::SIGTERM);
    server.signal(libc::SIGINT);
    let (code, said, took) = server.end();
    assert_eq!(code, Some(74), "the deadline, with a code of its own: {said}");
    assert!(took > Duration::from_millis(500), "{took:?}");
    assert!(!said.contains("second signal"), "{said}");

    let (server, _client) = start();
    server.signal(libc::SIGQUIT);
    let (code, said, _) = server.end();
    assert_eq!(code, Some(75), "{said}");
}

#[test]
fn a_lame_duck_still_accepts_and_its_answers_say_close() {
    let (mut server, address) = Server::start(&["--lame-duck", "500ms"]);
    server.signal(libc::SIGTERM);
    server.wait_for("lame duck for 500 ms");
    let answer = answer(&mut ask(address, GET));
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    server.wait_for("shutting down");
    let (code, said, _) = server.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(connect(address).is_err());
}

/// Process 1 of a container: the system ignores a signal that it has no handler for.
#[test]
fn as_process_1_of_a_namespace_it_hears_signals_and_ends() {
    const NAMESPACE: [&str; 4] = ["--pid", "--fork", "--map-root-user", "--kill-child"];
    let probe = permitted(Command::new("unshare").args(NAMESPACE).arg("true"), "unshare --pid");
    if !probe {
        return;
    }
    for (arguments, signals, code) in [
        (&["--grace", "5s"][..], &["TERM"][..], 0),
        (&["--grace", "5s"], &["INT"], 0),
        (&["--delay", "30s", "--grace", "1s"], &["TERM"], 124),
        (&["--delay", "30s"], &["TERM", "TERM"], 143),
        (&["--delay", "30s"], &["QUIT"], 131),
    ] {
        let mut command = Command::new("unshare");
        command.args(NAMESPACE).arg(env!("CARGO_BIN_EXE_adieu"));
        command.args(LISTEN).args(arguments).env_remove("RUST_LOG");
        let mut server = Server::spawn(&mut command);
        let address = server.listening();
        let _client = ask(address, if code == 0 { b"" } else { GET });
        std::thread::sleep(Duration::from_millis(100));
        let parent = server.child.id();
        let children = format!("/proc/{parent}/task/{parent}/children");
        let process_1 = std::fs::read_to_string(children).expect("a kernel that tells children");
        for (number, signal) in signals.iter().enumerate() {
            if number > 0 {
                server.wait_for("shutting down");
                std::thread::sleep(child::NO_PAIR);
            }
            let name = format!("-{signal}");
            let kill = bound::output(Command::new("kill").args([&name, process_1.trim()]));
            assert!(kill.unwrap().status.success());
        }
        let (ended, said, _) = server.end();
        assert_eq!(ended, Some(code), "{arguments:?} {signals:?}: {said}");
    }
}

#[test]
fn stragglers_are_named_while_it_drains_a_handful_at_most() {
    let (mut server, address) = Server::start(&["--delay", "30s", "--grace", "2s"]);
    let clients: Vec<_> = (0..8).map(|_| ask(address, GET)).collect();
    std::thread::sleep(Duration::from_millis(200));
    server.signal(libc::SIGTERM);
    server.wait_for("web: 8 in flight, 1 s left");
    let line = server.wait_for("waiting for web: 127.0.0.1:");
    assert!(line.contains("GET /, 30 B in, waits for the handler, open for"), "{line}");
    server.wait_for("and for 3 more");
    let (code, said, _) = server.end();
    assert_eq!(code, Some(124));
    assert_eq!(said.matches("cut off: web:").count(), clients.len(), "{said}");
}

#[test]
fn the_help_tells_of_flags_and_signals() {
    let help = bound::output(adieu().arg("--help")).unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for words in ["--lame-duck", "SIGQUIT", "SIGHUP", "128+n"] {
        assert!(help.contains(words), "{help}");
    }
}

/// A load balancer that polls the probe twice a second and needs a second to act on it.
#[test]
fn with_a_lame_duck_period_a_load_balancer_never_meets_a_closed_port() {
    let mut server =
        Server::spawn(adieu().args(LISTEN).args(["--admin", "127.0.0.1:0", "--lame-duck", "2s"]));
    let web = server.listening();
    let admin = server.listening();
    let began = Instant::now();
    let (mut asked, mut next_poll, mut stop_at) = (0, began, None);
    while stop_at.is_none_or(|at| Instant::now() < at) {
        if asked == 100 {
            server.signal(libc::SIGTERM);
        }
        let answer = child::answer(&mut ask(web, b"GET / HTTP/1.0\r\n\r\n"));
        assert!(answer.ends_with("Hello from web"), "request {asked}: {answer}");
        asked += 1;
        if Instant::now() >= next_poll {
            next_poll += Duration::from_millis(500);
            let ready = child::answer(&mut ask(admin, b"GET /readyz HTTP/1.0\r\n\r\n"));
            if ready.starts_with("HTTP/1.1 503") {
                stop_at.get_or_insert(Instant::now() + Duration::from_secs(1));
            }
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it never said 503");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn the_deployment_files_pass_the_verifiers_that_are_installed() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/check.sh");
    let output = bound::output(Command::new("sh").arg(script)).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{said}");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_successor_shares_the_port_and_takes_over() {
    let (old, address) = Server::start(&["--reuse-port"]);
    let listen = format!("web={address}");
    let start = || Server::spawn(adieu().args(["--reuse-port", "--listen", &listen]));
    let mut new = start();
    let shared =
        format!("{address} is shared: process {} (adieu) listens there too", old.child.id());
    assert!(new.wait_for("is shared").ends_with(&shared));
    assert_eq!(new.listening(), address);
    old.signal(libc::SIGTERM);
    let said = old.end();
    assert!(said.0 == Some(0) && said.1.ends_with("a graceful bye\n"), "{said:?}");
    assert!(!said.1.contains("is shared"), "nobody else was there: {said:?}");
    for _ in 0..20 {
        let mut client = ask(address, b"GET / HTTP/1.0\r\n\r\n");
        assert!(answer(&mut client).ends_with("Hello from web"));
    }
    new.signal(libc::SIGTERM);
    assert_eq!(new.end().0, Some(0));
}

mod systemd {
    use super::child::manager::Manager;
    use super::*;
    use std::net::{SocketAddr, TcpListener};

    #[test]
    fn it_tells_when_it_is_ready_that_it_lives_and_how_long_the_end_will_take() {
        let manager = Manager::new("notify");
        let mut command = adieu();
        command.args(LISTEN).args(["--delay", "30s", "--grace", "3s"]);
        command.env("NOTIFY_SOCKET", &manager.path).env("WATCHDOG_USEC", "400000");
        let mut server = Server::spawn(&mut command);
        let address = server.listening();
        let first = manager.hears();
        assert!(first.contains("READY=1\n"), "{first}");
        assert!(first.contains("STATUS=serving: 0 open, 0 in flight"), "{first}");
        let began = Instant::now();
        for _ in 0..5 {
            manager.hears_of("WATCHDOG=1");
        }
        let took = began.elapsed();
        assert!(took < Duration::from_millis(1800), "five beats took {took:?}");
        let _client = ask(address, GET);
        manager.hears_of("STATUS=serving: 1 open, 1 in flight");
        server.signal(libc::SIGTERM);
        let stopping = manager.hears_of("STOPPING=1");
        // The grace period and a margin.
        assert!(stopping.contains("EXTEND_TIMEOUT_USEC=4") || stopping.contains("=5000000"));
        assert!(stopping.contains("STATUS=draining, 2 s left: 1 open, 1 in flight"), "{stopping}");
        let draining = manager.hears_of("STATUS=draining, 1 s left: 1 open, 1 in flight");
        assert!(draining.contains("EXTEND_TIMEOUT_USEC="), "{draining}");
        assert_eq!(server.end().0, Some(124));
    }

    #[test]
    fn a_stuck_executor_misses_its_beat() {
        let manager = Manager::new("stuck");
        let mut command = adieu();
        command.args(LISTEN);
        command.env("NOTIFY_SOCKET", &manager.path).env("WATCHDOG_USEC", "200000");
        let mut server = Server::spawn(&mut command);
        server.listening();
        manager.hears_of("WATCHDOG=1");
        // As good as stuck: the loop does not turn.
        server.signal(libc::SIGSTOP);
        std::thread::sleep(Duration::from_millis(100));
        while manager.socket.set_nonblocking(true).is_ok()
            && manager.socket.recv(&mut [0; 999]).is_ok()
        {}
        std::thread::sleep(Duration::from_millis(300));
        assert!(manager.socket.recv(&mut [0; 999]).is_err());
        server.signal(libc::SIGCONT);
    }

    #[test]
    fn without_systemd_it_runs_as_ever() {
        let (server, _) = Server::start(&[]);
        server.signal(libc::SIGTERM);
        assert_eq!(server.end().0, Some(0));
    }

    /// adieu under systemd-socket-activate(1), which hands over a socket of this name.
    fn activated(name: &str, arguments: &[&str]) -> Option<(Server, SocketAddr)> {
        let mut probe = Command::new("systemd-socket-activate");
        if !permitted(probe.arg("--version"), "systemd-socket-activate") {
            return None;
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new("systemd-socket-activate");
        command.args(["--listen", &free.to_string(), "--fdname", name]);
        command.arg(env!("CARGO_BIN_EXE_adieu")).args(arguments).env_remove("RUST_LOG");
        let mut server = Server::spawn(&mut command);
        server.wait_for("Listening on");
        Some((server, free))
    }

    #[test]
    fn a_socket_is_matched_to_a_server_by_its_name() {
        // Port 1 of an address that is not ours: it would fail if it were bound.
        let arguments = ["--listen", "other=127.0.0.1:0", "--listen", "web=192.0.2.1:1"];
        let Some((mut server, address)) = activated("web", &arguments) else { return };
        let mut client = ask(address, b"GET / HTTP/1.0\r\n\r\n");
        assert!(answer(&mut client).ends_with("Hello from web"));
        server.wait_for(&format!("web listening on {address}"));
        server.signal(libc::SIGTERM);
        assert_eq!(server.end().0, Some(0));
    }

    #[test]
    fn a_name_with_no_server_is_an_error() {
        let Some((server, address)) = activated("wbe", &["--listen", "web=127.0.0.1:0"]) else {
            return;
        };
        // It may be gone before the handshake is over.
        let _client = connect(address);
        let (code, said, _) = server.end();
        assert_eq!(code, Some(1), "{said}");
        let error = "error: cannot use the socket \"wbe\" that was handed over: there is no server";
        assert!(said.contains(error), "{said}");
    }
}
