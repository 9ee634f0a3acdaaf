//! Real signals in real processes: pairs of them, stray ones, blocked ones, and a process that was stopped.
#![cfg(feature = "bin")]

mod child;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use child::bound::{Process, until};
use child::directory::Directory;
use child::{GET, Server, adieu, answer, ask, tools};
use rustix::pipe::PipeFlags;
use rustix::process::Signal;

fn send(server: &Server, signal: Signal) {
    server.signal(signal.as_raw());
}

/// A server with a request in flight, which was seen to be so.
fn busy(arguments: &[&str]) -> (Server, TcpStream) {
    let (mut server, address) = Server::start(&[&["--admin", "127.0.0.1:0"], arguments].concat());
    let admin = server.listening();
    let client = ask(address, GET);
    let in_flight = |metrics: String| metrics.contains("adieu_in_flight{service=\"web\"} 1");
    let ask_metrics = || answer(&mut ask(admin, b"GET /metrics HTTP/1.0\r\n\r\n"));
    until("the request is in flight", || in_flight(ask_metrics()));
    (server, client)
}

#[test]
fn with_nothing_in_flight_sigquit_and_no_grace_at_all_are_a_graceful_bye() {
    for round in 0..10 {
        let (signal, arguments) = match round % 2 {
            0 => (Signal::QUIT, &[][..]),
            _ => (Signal::TERM, &["--grace", "0s"][..]),
        };
        let (server, address) = Server::start(arguments);
        // One that is idle, one that has not sent a byte, and one that is in the accept queue.
        let mut idle = ask(address, GET);
        std::io::Read::read_exact(&mut idle, &mut [0]).expect("an answer");
        let _new = ask(address, b"");
        send(&server, Signal::STOP);
        let _queued = ask(address, b"");
        send(&server, signal);
        send(&server, Signal::CONT);
        let (code, said, _) = server.end();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("a graceful bye"), "{said}");
    }
}

#[test]
fn two_signals_within_a_tenth_of_a_second_are_one_request_whichever_they_are() {
    use Signal as S;
    let pairs = [(S::TERM, S::TERM), (S::TERM, S::HUP), (S::INT, S::TERM), (S::HUP, S::INT)];
    for (first, second) in pairs {
        for heard in [false, true] {
            let (mut server, mut client) = busy(&["--delay", "500ms"]);
            if !heard {
                send(&server, Signal::STOP);
            }
            send(&server, first);
            if heard {
                server.wait_for("begins the shutdown");
            }
            send(&server, second);
            if !heard {
                send(&server, Signal::CONT);
            }
            let answer = answer(&mut client);
            assert!(answer.ends_with("Hello from web"), "{first:?}, {second:?}: {answer}");
            drop(client);
            let (code, said, _) = server.end();
            assert_eq!(code, Some(0), "{first:?}, {second:?}: {said}");
        }
    }
}

#[test]
fn a_pair_is_one_request_even_if_all_is_over_after_its_first() {
    for _ in 0..20 {
        let (server, _) = Server::start(&[]);
        send(&server, Signal::TERM);
        sleep(Duration::from_micros(1500));
        // It may have ended already; it is there until it is waited for.
        send(&server, Signal::TERM);
        let (code, said, _) = server.end();
        assert_eq!(code, Some(0), "{said}");
    }
}

#[test]
fn a_pair_that_ends_in_sigquit_does_not_wait_and_names_whom_it_cuts_off() {
    let (server, _client) = busy(&["--delay", "30s"]);
    send(&server, Signal::TERM);
    send(&server, Signal::QUIT);
    let (code, said, took) = server.end();
    assert_eq!(code, Some(131), "{said}");
    assert!(said.contains("cut off: web: 127.0.0.1:"), "{said}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn sigalrm_is_ignored_until_the_watchdog_is_due() {
    let (mut server, address) = Server::start(&["--delay", "500ms"]);
    send(&server, Signal::ALARM);
    let mut client = ask(address, GET);
    send(&server, Signal::TERM);
    server.wait_for("shutting down");
    send(&server, Signal::ALARM);
    assert!(answer(&mut client).ends_with("Hello from web"));
    drop(client);
    assert_eq!(server.end().0, Some(0));
}

/// adieu, started by a Python program that prepares the process for it; `None`, with a word, without Python.
fn prepared(preparation: &str) -> Option<Server> {
    let python = tools::tool("python3", "python3")?;
    let program =
        format!("import os, signal, sys\n{preparation}\nos.execv(sys.argv[1], sys.argv[1:])");
    let mut command = Command::new(python);
    command.args(["-c", &program, env!("CARGO_BIN_EXE_adieu"), "--listen", "web=127.0.0.1:0"]);
    Some(Server::spawn(command.env_remove("RUST_LOG")))
}

#[test]
fn an_alarm_that_was_set_before_the_program_began_does_not_end_it() {
    let Some(mut server) = prepared("signal.setitimer(signal.ITIMER_REAL, 0.5)") else { return };
    let address = server.listening();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(800) {
        let mut client = ask(address, b"GET / HTTP/1.0\r\n\r\n");
        assert!(answer(&mut client).ends_with("Hello from web"));
        sleep(Duration::from_millis(50));
    }
    send(&server, Signal::TERM);
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn signals_that_were_blocked_before_the_program_began_are_heard() {
    let block = "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})";
    let Some(mut server) = prepared(block) else { return };
    server.listening();
    send(&server, Signal::TERM);
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn a_process_that_was_stopped_past_its_deadline_first_does_what_is_due() {
    let (mut server, mut client) = busy(&["--delay", "1s", "--grace", "1500ms"]);
    send(&server, Signal::TERM);
    server.wait_for("shutting down");
    send(&server, Signal::STOP);
    sleep(Duration::from_secs(4));
    send(&server, Signal::CONT);
    assert!(answer(&mut client).ends_with("Hello from web"));
    drop(client);
    let (code, said, _) = server.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.matches(" left").count() <= 1, "what is past is not caught up: {said}");
}

#[test]
fn a_process_that_was_stopped_past_its_deadline_names_whom_it_cuts_off() {
    let (mut server, _client) = busy(&["--delay", "30s", "--grace", "1s"]);
    send(&server, Signal::TERM);
    server.wait_for("shutting down");
    send(&server, Signal::STOP);
    sleep(Duration::from_millis(3500));
    send(&server, Signal::CONT);
    let (code, said, _) = server.end();
    assert_eq!(code, Some(124), "{said}");
    assert!(said.contains("cut off: web: 127.0.0.1:"), "{said}");
    assert!(said.contains("the deadline passed with 1 left"), "{said}");
}

#[test]
fn no_line_tells_of_stragglers_at_the_instant_in_which_the_drain_begins() {
    let (mut server, address) = Server::start(&["--lame-duck", "1s", "--grace", "5s"]);
    let mut idle = ask(address, GET);
    std::io::Read::read_exact(&mut idle, &mut [0]).expect("an answer");
    send(&server, Signal::TERM);
    server.wait_for("lame duck for 1.0 s");
    let (code, said, _) = server.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains(" left"), "{said}");
}

/// On a shared port the system is asked for handshakes that are under way. Where it cannot be asked, they get
/// all of their time.
#[test]
fn a_shared_port_closes_well_where_the_table_of_sockets_is_hidden() {
    for (hide, warns) in
        [("mount -t proc -o subset=pid proc /proc", false), ("mount -t tmpfs none /proc", true)]
    {
        let script = format!("{hide} && exec \"$0\" \"$@\"");
        let mut probe = Command::new("unshare");
        probe.args(["--mount", "sh", "-c", &script, "true"]);
        if !tools::permitted(&mut probe, "unshare --mount") {
            return;
        }
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, env!("CARGO_BIN_EXE_adieu")]);
        command.args(["--listen", "web=127.0.0.1:0", "--reuse-port"]).env_remove("RUST_LOG");
        let mut server = Server::spawn(&mut command);
        server.listening();
        send(&server, Signal::TERM);
        let (code, said, _) = server.end();
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(said.contains("cannot read /proc/self/net/tcp"), warns, "{hide}: {said}");
    }
}

#[test]
fn the_watchdog_works_where_the_parent_has_blocked_its_alarm() {
    let mut probe = Command::new("env");
    if !tools::permitted(probe.args(["--block-signal=ALRM", "true"]), "env --block-signal") {
        return;
    }
    let stall = child::example("stall");
    let mut command = Command::new("env");
    command.arg("--block-signal=ALRM").arg(stall.get_program());
    command.args(["--listen", "127.0.0.1:0"]);
    let mut server = Server::spawn(&mut command);
    let address = server.listening();
    let _client = ask(address, b"GET /block HTTP/1.1\r\nHost: test\r\n\r\n");
    server.wait_for("blocking");
    send(&server, Signal::QUIT);
    assert_eq!(server.end().0, Some(124));
}

#[test]
fn a_thread_that_was_blocked_when_the_signal_came_has_its_grace_period_from_then_on() {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).unwrap();
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    let mut fills = File::from(writer.try_clone().unwrap());
    let mut command = adieu();
    command.args(["--listen", "web=127.0.0.1:0", "--delay", "700ms", "--grace", "1s"]);
    command.env("RUST_LOG", "info,adieu::access=debug").stderr(writer);
    let mut server = Server { child: Process::spawn_muted(&mut command).unwrap() };
    drop(command); // and with it this process's end of the pipe
    let mut reader = BufReader::new(File::from(reader));
    let mut line = String::new();
    while !line.contains("listening on ") {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    let address = line.trim_end().rsplit(' ').next().unwrap().parse().unwrap();
    // From now on a line blocks: the first one is about the first request.
    fills.write_all(&[b'.'; 4096 - 16]).unwrap();
    drop(fills);
    let mut blocks = ask(address, GET);
    sleep(Duration::from_millis(900));
    let mut waits = ask(address, GET);
    send(&server, Signal::TERM);
    // Past the deadline, if the grace period counted from the signal; and the answer that waits takes it past the
    // watchdog's second.
    sleep(Duration::from_millis(1500));
    server.child.listen(reader);
    let (code, said, _) = server.end();
    assert_eq!(code, Some(0), "{said}");
    for client in [&mut blocks, &mut waits] {
        assert!(answer(client).ends_with("Hello from web"), "{said}");
    }
    assert!(said.trim_end().ends_with("a graceful bye"), "{said}");
}

#[test]
fn a_pipe_in_place_of_a_directory_does_not_keep_the_start_waiting() {
    let directory = Directory::new("pipe");
    let pipe = directory.file("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let listen = format!("web=unix:{pipe}/app.sock");
    let (code, said, took) = Server::spawn(adieu().args(["--listen", &listen])).end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("Not a directory"), "{said}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}
