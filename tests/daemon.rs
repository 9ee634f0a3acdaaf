//! What a daemon needs of its supervisor, with real processes: readiness, reloads, an end when it is idle.
#![cfg(feature = "bin")]

mod child;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::Duration;

use child::bound::{connect, until};
use child::directory::Directory;
use child::manager::Manager;
use child::{GET, NO_PAIR, Server, answer, ask, example};

/// The example of a daemon whose database is away at first.
struct Daemon {
    server: Server,
    admin: SocketAddr,
    manager: Manager,
    database: std::path::PathBuf,
    _directory: Directory,
}

impl Daemon {
    fn start(name: &str) -> Daemon {
        let directory = Directory::new(name);
        let (database, address) = directory.socket();
        let manager = Manager::new(name);
        let mut command = example("daemon");
        command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--database", &address]);
        let mut server = Server::spawn(command.env("NOTIFY_SOCKET", &manager.path));
        server.wait_for("web listening");
        let admin = server.listening();
        Daemon { server, admin, manager, database, _directory: directory }
    }

    fn readyz(&self) -> String {
        answer(&mut ask(self.admin, b"GET /readyz HTTP/1.0\r\n\r\n"))
    }
}

/// The time of CLOCK_MONOTONIC, in microseconds.
fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
}

#[test]
fn a_service_that_holds_readiness_back_keeps_probes_and_systemd_waiting() {
    let daemon = Daemon::start("readiness");
    let early = daemon.readyz();
    assert!(early.starts_with("HTTP/1.1 503 "), "{early}");
    assert!(early.ends_with("\r\n\r\ndatabase: connecting\n") || early.contains("No such file"));
    assert!(daemon.manager.has_heard_nothing(), "systemd is told nothing before it is ready");

    let database = UnixListener::bind(&daemon.database).unwrap();
    let ready = daemon.manager.hears();
    assert!(ready.contains("READY=1\n"), "{ready}");
    assert!(ready.contains("STATUS=serving: "), "{ready}");
    assert!(daemon.readyz().starts_with("HTTP/1.1 200 "));

    drop(database);
    let status = daemon.manager.hears_of("not ready");
    assert!(status.starts_with("STATUS=serving, not ready (database: "), "{status}");
    assert!(!status.contains("READY=1"), "{status}");
    let away = daemon.readyz();
    assert!(away.starts_with("HTTP/1.1 503 "), "{away}");
    assert!(away.contains("\r\n\r\ndatabase: Connection refused"), "{away}");

    daemon.server.signal(libc::SIGTERM);
    let stopping = daemon.manager.hears_of("STOPPING=1");
    assert!(!stopping.contains("READY=1"), "{stopping}");
    let (code, said, _) = daemon.server.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("SIGTERM begins the shutdown"), "{said}");
}

#[test]
fn a_cause_that_comes_before_it_is_ready_is_told_to_systemd_without_ready() {
    let daemon = Daemon::start("early");
    daemon.server.signal(libc::SIGTERM);
    let first = daemon.manager.hears();
    assert!(first.contains("STOPPING=1") && !first.contains("READY=1"), "{first}");
    assert_eq!(daemon.server.end().0, Some(0));
}

#[test]
fn sighup_is_a_reload_of_which_systemd_hears_the_beginning_and_the_end() {
    let mut daemon = Daemon::start("reload");
    let _database = UnixListener::bind(&daemon.database).unwrap();
    daemon.manager.hears_of("READY=1");
    for _ in 0..2 {
        let before = monotonic();
        daemon.server.signal(libc::SIGHUP);
        let began = daemon.manager.hears_of("RELOADING=1");
        assert!(!began.lines().any(|line| line == "READY=1"), "{began}");
        let time = began.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        let time: u64 = time.expect("the time").parse().expect("a number");
        assert!((before..=monotonic()).contains(&time), "{time} is not after {before}");
        daemon.server.wait_for("the settings are as they were");
        let over = daemon.manager.hears_of("READY=1");
        assert!(!over.contains("RELOADING=1"), "{over}");
    }
    // It has begun nothing: what comes now is the first signal to end, whatever came before.
    std::thread::sleep(NO_PAIR);
    daemon.server.signal(libc::SIGTERM);
    std::thread::sleep(NO_PAIR);
    let (code, said, _) = daemon.server.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("a graceful bye"), "{said}");
}

/// What a parent does that keeps a listening socket: starts the program, and hands it over as web's.
fn activated(listener: &TcpListener, arguments: &[&str]) -> Server {
    let socket = OwnedFd::from(listener.try_clone().expect("a descriptor"));
    let script = "LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=web exec \"$0\" \"$@\" 3<&0 </dev/null";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_adieu"), "--listen", "web=127.0.0.1:0"]);
    Server::spawn(command.args(arguments).env_remove("RUST_LOG").stdin(socket))
}

#[test]
fn an_idle_server_ends_and_its_next_client_finds_the_next_process() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    for _ in 0..2 {
        // It is there before the program is, as in socket activation.
        let mut client = ask(address, GET);
        let server = activated(&listener, &["--exit-idle", "300ms"]);
        let mut first = [0; 15];
        std::io::Read::read_exact(&mut client, &mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        // It stays as long as the client does.
        std::thread::sleep(Duration::from_millis(500));
        std::io::Write::write_all(&mut client, GET).unwrap();
        let mut rest = [0; 300];
        until("the second answer has come", || {
            let amount = std::io::Read::read(&mut client, &mut rest).expect("it is not reset");
            assert!(amount > 0, "the connection is closed");
            String::from_utf8_lossy(&rest[..amount]).contains("200 OK")
        });
        drop(client);
        let (code, said, _) = server.end();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("idleness begins the shutdown"), "{said}");
        assert!(said.contains("a graceful bye"), "{said}");
    }
    assert!(connect(address).is_ok(), "the socket is still there");
}
