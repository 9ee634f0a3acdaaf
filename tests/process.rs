//! The real binary as a child process: real signals, exit codes, descriptors, standard error.
//!
//! These things are global to a process, so they have a test binary of their own. Every port is
//! picked by the system; the well-known pair is tried in a network namespace made for it.
#![cfg(feature = "bin")]

mod child;

use std::fs::File;
use std::io::Write;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::pipe::PipeFlags;

use child::bound::{self, Process, connect, until};
use child::tools::{self, skipped};
use child::{GET, NO_PAIR, Server, adieu, answer, ask, example};

#[test]
fn the_first_signal_ends_in_a_graceful_bye_and_exit_0() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let (server, _) = Server::start(&[]);
        server.signal(signal);
        let (code, said, _) = server.end();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("shutting down servers, please wait..."), "{said}");
        assert!(said.trim_end().ends_with("a graceful bye"), "{said}");
    }
}

#[test]
fn a_request_in_flight_gets_its_whole_answer_with_connection_close() {
    let (mut server, address) = Server::start(&["--delay", "500ms"]);
    let mut client = ask(address, GET);
    server.signal(libc::SIGTERM);
    server.wait_for("shutting down");
    // The line is said in the turn in which the listener closes, so it may still accept or reset.
    let refused = |error: std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
    until("the port is closed", || connect(address).is_err_and(refused));
    let answer = answer(&mut client);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(answer.ends_with("Hello from web"), "{answer}");
    drop(client);
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn while_it_drains_it_says_what_it_waits_for_and_how_long_it_still_will() {
    let (mut server, address) = Server::start(&["--delay", "30s", "--grace", "3s"]);
    let _one = ask(address, GET);
    let _two = ask(address, GET);
    until("both are accepted", || server_connections(&server) >= 2);
    server.signal(libc::SIGTERM);
    let line = server.wait_for("in flight");
    assert!(line.ends_with("web: 2 in flight, 2 s left"), "{line}");
}

fn server_connections(server: &Server) -> usize {
    let sockets = std::fs::read_dir(format!("/proc/{}/fd", server.child.id()));
    let sockets = sockets.map_or(0, |fds| {
        fds.flatten()
            .filter_map(|fd| std::fs::read_link(fd.path()).ok())
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count()
    });
    sockets.saturating_sub(3) // the listener and the pair behind the signals
}

#[test]
fn a_missed_deadline_exits_124_names_the_straggler_and_is_no_graceful_bye() {
    let (mut server, address) = Server::start(&["--delay", "30s", "--grace", "1s"]);
    let client = ask(address, b"GET /late HTTP/1.1\r\nHost: test\r\n\r\n");
    let peer = client.local_addr().unwrap();
    server.signal(libc::SIGTERM);
    server.wait_for("shutting down");
    let (code, said, took) = server.end();
    assert_eq!(code, Some(124), "{said}");
    assert!(said.contains(&format!("cut off: web: {peer} active for")), "{said}");
    assert!(said.contains("GET /late"), "{said}");
    assert!(!said.contains("a graceful bye"), "{said}");
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn at_the_deadline_a_client_without_an_answer_is_told_that_there_will_be_none() {
    let (mut server, address) = Server::start(&["--delay", "30s", "--grace", "300ms"]);
    let mut clients: Vec<_> = (0..50).map(|_| ask(address, GET)).collect();
    until("all are accepted", || server_connections(&server) >= 50);
    server.signal(libc::SIGTERM);
    server.wait_for("shutting down");
    for client in &mut clients {
        let answer = answer(client);
        assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
        for line in ["connection: close\r\n", "retry-after: 1\r\n", "content-length: 20\r\n"] {
            assert!(answer.contains(line), "{answer}");
        }
    }
    assert_eq!(server.end().0, Some(124));
}

#[test]
fn a_straggler_whose_client_has_closed_says_so() {
    let (mut server, address) = Server::start(&["--delay", "30s", "--grace", "300ms"]);
    let client = ask(address, GET);
    until("it is accepted", || server_connections(&server) >= 1);
    drop(client);
    server.signal(libc::SIGTERM);
    server.wait_for("shutting down");
    let (code, said, _) = server.end();
    assert_eq!(code, Some(124), "{said}");
    assert!(said.contains("the client has closed its side"), "{said}");
}

#[test]
fn netcat_that_closes_its_side_at_once_is_answered() {
    let Some(nc) = tools::tool("nc", "netcat-openbsd") else { return };
    let (_server, address) = Server::start(&["--delay", "1s"]);
    let mut command = Command::new("sh");
    let request = "printf 'GET / HTTP/1.1\\r\\nHost: test\\r\\n\\r\\n'";
    command.args(["-c", &format!("{request} | \"$0\" -N 127.0.0.1 {}", address.port())]).arg(nc);
    let output = bound::output(&mut command).expect("it runs");
    let answer = String::from_utf8_lossy(&output.stdout);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("Hello from web"), "{answer}");
}

#[test]
fn a_second_signal_exits_128_plus_n() {
    for (signal, code) in [(libc::SIGTERM, 143), (libc::SIGINT, 130)] {
        let (mut server, address) = Server::start(&["--delay", "30s"]);
        let _client = ask(address, GET);
        server.signal(libc::SIGTERM);
        server.wait_for("shutting down");
        std::thread::sleep(NO_PAIR);
        server.signal(signal);
        let (ended, said, _) = server.end();
        assert_eq!(ended, Some(code), "{said}");
        assert!(said.contains("aborted by a second signal"), "{said}");
        assert!(!said.contains("a graceful bye"), "{said}");
    }
}

/// A server whose one thread is blocked in a handler, and the client that did it.
fn blocked() -> (Server, TcpStream) {
    let mut server = Server::spawn(example("stall").args(["--listen", "127.0.0.1:0"]));
    let address = server.listening();
    let client = ask(address, b"GET /block HTTP/1.1\r\nHost: test\r\n\r\n");
    server.wait_for("blocking");
    (server, client)
}

#[test]
fn a_second_signal_works_while_a_handler_blocks_the_thread() {
    let (server, _client) = blocked();
    server.signal(libc::SIGTERM);
    std::thread::sleep(NO_PAIR);
    server.signal(libc::SIGTERM);
    let (code, said, took) = server.end();
    assert_eq!(code, Some(143), "{said}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn the_watchdog_ends_a_blocked_process_one_second_past_the_deadline() {
    let (server, _client) = blocked();
    server.signal(libc::SIGTERM);
    let (code, said, took) = server.end();
    assert_eq!(code, Some(124), "{said}");
    let last = "adieu: still blocked one second past the deadline by stall: GET /block, giving up";
    assert_eq!(said.lines().last(), Some(last), "{said}");
    assert!(took > Duration::from_millis(1900) && took < Duration::from_secs(4), "{took:?}");
}

/// A server that was told to stop while a request for `path` waits, which lets the others live. All it
/// said, and how long it took to end.
fn stopped_while_one_waits(path: &str) -> (String, Duration) {
    let mut server = Server::spawn(example("stall").args(["--listen", "127.0.0.1:0"]));
    let address = server.listening();
    let _stuck = ask(address, format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
    let mut well = ask(address, b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert!(answer(&mut well).ends_with("well\n"));
    server.signal(libc::SIGTERM);
    let (code, said, took) = server.end();
    assert_eq!(code, Some(124), "{said}");
    assert!(said.contains(&format!("GET {path}")), "{said}");
    (said, took)
}

#[test]
fn a_handler_that_never_returns_is_cut_off_while_others_are_served() {
    stopped_while_one_waits("/never");
}

#[test]
fn the_exit_does_not_wait_for_blocking_work_past_the_deadline_and_names_it() {
    let (said, took) = stopped_while_one_waits("/unblock");
    assert!(said.contains("cut off: stall: blocking work begun at examples/stall.rs:"), "{said}");
    assert!(took > Duration::from_millis(900) && took < Duration::from_secs(3), "{took:?}");
}

/// adieu with a standard error that takes one line and then is a full pipe, and the end that keeps it open.
fn muted() -> (Server, OwnedFd) {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).unwrap();
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    let mut writer = File::from(writer);
    // "web listening on ..." still fits, "shutting down servers ..." does not.
    writer.write_all(&[b'.'; 4096 - 64]).unwrap();
    let listen = ["--listen", "web=127.0.0.1:0", "--grace", "1s", "--log-format", "plain"];
    let child = Process::spawn_muted(adieu().args(listen).stderr(writer)).unwrap();
    let mut server = Server { child };
    // It listens once its line is in the pipe; nothing is read from it, or there would be room.
    until("it listens", || {
        assert!(!server.child.has_ended(), "it has ended");
        rustix::io::ioctl_fionread(&reader).unwrap() > 4096 - 64
    });
    (server, reader)
}

#[test]
fn a_full_pipe_as_standard_error_cannot_keep_the_process_alive() {
    let (mut server, _reader) = muted();
    server.signal(libc::SIGTERM);
    let began = Instant::now();
    assert_eq!(server.wait().code(), Some(124));
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[test]
fn a_second_signal_works_while_a_log_line_blocks() {
    let (mut server, _reader) = muted();
    server.signal(libc::SIGINT);
    std::thread::sleep(NO_PAIR);
    server.signal(libc::SIGINT);
    assert_eq!(server.wait().code(), Some(130));
}

#[test]
fn a_signal_during_the_start_ends_the_process_and_nothing_was_served() {
    for delay in 0..20 {
        let mut server = Server::spawn(adieu().args(["--listen", "web=127.0.0.1:0"]));
        std::thread::sleep(Duration::from_micros(100 * delay));
        server.signal(libc::SIGTERM);
        let status = server.wait();
        // Before its handlers are there it dies of the signal, as any process; then it says goodbye.
        let as_promised = status.code() == Some(0) || status.signal() == Some(libc::SIGTERM);
        assert!(as_promised, "{status}");
    }
}

#[test]
fn two_signals_that_come_together_as_from_timeout_are_one() {
    let mut server = Server::spawn(adieu().args(["--listen", "web=127.0.0.1:0"]));
    server.listening();
    // timeout(1) signals its child and then the child's whole group. Stopped, the server finds both of them.
    for signal in [libc::SIGSTOP, libc::SIGINT, libc::SIGTERM, libc::SIGCONT] {
        server.signal(signal);
    }
    let (code, said, _) = server.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("a graceful bye"), "{said}");
}

#[test]
fn a_port_in_use_is_one_line_that_names_the_server_and_exit_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let listen = format!("second={address}");
    let server =
        Server::spawn(adieu().args(["--listen", "first=127.0.0.1:0", "--listen", &listen]));
    let (code, said, _) = server.end();
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with(&format!("error: second: cannot listen on {address}: ")), "{said}");
}

#[test]
fn bad_usage_is_one_line_and_exit_2() {
    let cases: &[(&[&str], &str)] = &[
        (&["--lisen", "a=:1"], "--lisen"),
        (&["--listen"], "--listen needs a value"),
        (&["--listen", "8080"], "NAME=ADDR"),
        (&["--listen", "a=nonsense"], "a: \"nonsense\" is not an address"),
        (&["--listen", "a=127.0.0.1:99999"], "invalid port"),
        (&["--listen", "a=:0", "--listen", "a=:0"], "two servers named \"a\""),
        (&["--grace", "10"], "--grace: \"10\" is not a duration"),
        (&["--lame-duck", "10s"], "--lame-duck: it must be shorter than --grace"),
        (&["--delay", "soon"], "--delay: \"soon\" is not a duration"),
        (&["--exit-idle", "-5m"], "--exit-idle: \"-5m\" is not a duration"),
        (&["--exit-idle", "99999999999999999999s"], "is not a duration"),
        (&["surprise"], "surprise"),
    ];
    for (arguments, words) in cases {
        let (code, said, _) = Server::spawn(adieu().args(*arguments)).end();
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
        assert!(said.starts_with("error: ") && said.contains(words), "{arguments:?}: {said}");
    }
}

#[test]
fn help_and_version_are_printed_and_exit_0() {
    let help = bound::output(adieu().arg("--help")).unwrap();
    assert!(help.status.success());
    let help = String::from_utf8(help.stdout).unwrap();
    for flag in ["--listen", "--grace", "--lame-duck", "--exit-idle", "--delay", "--version"] {
        assert!(help.contains(flag), "{help}");
    }
    let version = bound::output(adieu().arg("--version")).unwrap();
    assert_eq!(version.stdout, format!("adieu {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
}

#[test]
fn it_serves_with_at_most_two_threads() {
    let (server, address) = Server::start(&[]);
    for _ in 0..100 {
        let request = b"POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 1\r\nConnection: close\r\n\r\n";
        answer(&mut ask(address, request));
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id()));
    let Ok(status) = status else {
        return skipped("there is no /proc here");
    };
    let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")).unwrap();
    assert!(threads.trim().parse::<u32>().unwrap() <= 2, "{threads}");
}

#[test]
fn garbage_and_a_tls_hello_are_answered_and_cost_nothing_else() {
    let (server, address) = Server::start(&[]);
    let mut utf8 = ask(address, "GET / HTTP/1.1\r\nHost: test\r\nName: Zoë\r\n\r\n".as_bytes());
    assert!(answer(&mut utf8).starts_with("HTTP/1.1 400 "));
    let mut garbage = ask(address, &[0xff, 0x00, 0x80, b'\r', b'\n', 0x07]);
    assert!(answer(&mut garbage).starts_with("HTTP/1.1 400 "));
    let mut tls = ask(address, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    assert!(answer(&mut tls).starts_with("HTTP/1.1 400 "));
    let mut well = ask(address, b"GET / HTTP/1.0\r\n\r\n");
    assert!(answer(&mut well).ends_with("Hello from web"));
    server.signal(libc::SIGTERM);
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn out_of_descriptors_it_lives_and_serves_again_and_hears_signals() {
    let mut command = Command::new("sh");
    let run = "ulimit -n 40; exec \"$0\" --listen web=127.0.0.1:0";
    command.args(["-c", run, env!("CARGO_BIN_EXE_adieu")]).env_remove("RUST_LOG");
    let mut server = Server::spawn(&mut command);
    let address = server.listening();
    let crowd: Vec<_> = (0..100).map(|_| connect(address).unwrap()).collect();
    let mut patient = ask(address, b"GET / HTTP/1.0\r\n\r\n");
    drop(crowd);
    assert!(answer(&mut patient).ends_with("Hello from web"));
    server.signal(libc::SIGTERM);
    let (code, said, _) = server.end();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn the_access_log_is_off_until_it_is_asked_for() {
    for (level, lines) in [("info", 0), ("info,adieu::access=debug", 1)] {
        let listen = ["--listen", "web=127.0.0.1:0"];
        let mut server = Server::spawn(adieu().args(listen).env("RUST_LOG", level));
        let address = server.listening();
        answer(&mut ask(address, b"GET /logged HTTP/1.0\r\n\r\n"));
        server.signal(libc::SIGTERM);
        let (_, said, _) = server.end();
        assert_eq!(said.matches("\"GET /logged\" 200 14 B").count(), lines, "{said}");
    }
}

/// In a network namespace of its own the well-known ports are free, whatever else runs here.
#[test]
fn by_default_it_serves_server1_and_server2_on_8080_and_8081_over_ipv4_and_ipv6() {
    // The README shows a terminal.
    let script = r#"
        "$0" --log-format plain & pid=$!
        for _ in $(seq 300); do curl -s 127.0.0.1:8081 >/dev/null && break; sleep 0.1; done
        for url in 127.0.0.1:8080 '[::1]:8080' localhost:8080/any/path 127.0.0.1:8081 '[::1]:8081'; do
            curl -sg "$url"; echo
        done
        curl -s -X DELETE 127.0.0.1:8080; echo
        kill -INT $pid; wait $pid; echo "exit $?"
    "#;
    let adieu = env!("CARGO_BIN_EXE_adieu").as_ref();
    let Some(output) = child::in_a_network_of_its_own(script, adieu) else { return };
    let said = String::from_utf8(output.stdout).unwrap();
    let (one, two) = ("Hello from server1\n", "Hello from server2\n");
    assert_eq!(said, [one, one, one, two, two, one, "exit 0\n"].concat());
    let logged = String::from_utf8(output.stderr).unwrap();
    // The README's first transcript is what was really said.
    let readme = include_str!("../README.md").replace("^C", "");
    assert!(readme.contains(&logged), "{logged}");
    for line in [
        "server 1 listening on port 8080",
        "server 2 listening on port 8081",
        "shutting down servers, please wait...",
        "a graceful bye",
    ] {
        assert!(logged.lines().any(|logged| logged.ends_with(line)), "{line}: {logged}");
    }
}

#[test]
fn the_timeline_is_written_where_it_was_asked_for() {
    let file = std::env::temp_dir().join(format!("adieu-timeline-{}.svg", std::process::id()));
    let (mut server, _) = Server::start(&["--timeline", file.to_str().unwrap()]);
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    let svg = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(svg.contains("shut down by SIGTERM"));
}
