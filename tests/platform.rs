//! The real binary as a platform runs it: its signals, its probes, its place under systemd, its restarts.
#![cfg(feature = "bin")]

mod child;

use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use child::{GET, Server, adieu, answer, ask, example};

const LISTEN: [&str; 2] = ["--listen", "web=127.0.0.1:0"];

/// Whether the command runs and succeeds here; if not, says what is skipped.
fn permitted(command: &mut Command, what: &str) -> bool {
    let well = command.output().is_ok_and(|output| output.status.success());
    if !well {
        println!("skipped: {what} is not there, or not permitted");
    }
    well
}

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
    let mut server = Server::spawn(example("stall").arg("127.0.0.1:0"));
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
        let mut server = Server::spawn(example("stubborn").arg("127.0.0.1:0"));
        let address = server.listening();
        let client = ask(address, b"GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        server.wait_for("asked");
        server.signal(libc::SIGTERM);
        server.wait_for("shutting down");
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
    assert!(TcpStream::connect(address).is_err());
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
            }
            let name = format!("-{signal}");
            assert!(
                Command::new("kill").args([&name, process_1.trim()]).status().unwrap().success()
            );
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
    let help = adieu().arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for words in ["--lame-duck", "SIGQUIT", "SIGHUP", "128+n"] {
        assert!(help.contains(words), "{help}");
    }
}
