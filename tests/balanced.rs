//! The binary behind a balancer that sends PROXY headers: one that the test plays, and a real HAProxy.
#![cfg(feature = "bin")]

mod child;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::Command;

use child::bound::{self, until};
use child::directory::Directory;
use child::tools::tool;
use child::{GET, Server, adieu, answer, ask};

const ACCESS: &str = "info,adieu::access=debug";

#[test]
fn the_flag_names_the_networks_of_balancers_and_the_log_names_their_clients() {
    let mut server = Server::spawn(
        adieu()
            .args(["--listen", "web=127.0.0.1:0", "--proxy-protocol", "10.0.0.0/8,::1"])
            .args(["--proxy-protocol", "127.0.0.0/8"])
            .env("RUST_LOG", ACCESS),
    );
    let address = server.listening();
    let mut balancer = ask(address, b"PROXY TCP6 2001:db8::7 2001:db8::1 50312 443\r\n");
    balancer.write_all(b"GET /named HTTP/1.0\r\n\r\n").unwrap();
    assert!(answer(&mut balancer).ends_with("Hello from web"));
    server.wait_for("web [2001:db8::7]:50312 \"GET /named\" 200 ");
    let mut without = ask(address, GET);
    assert!(without.read_to_end(&mut Vec::new()).is_err_and(is_reset), "bytes are left unread");
    server.wait_for(" sent no PROXY header: it begins otherwise");
    server.ends_well();
}

fn is_reset(error: std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::ConnectionReset
}

#[test]
fn who_is_no_balancer_is_refused_and_counted_but_may_ask_the_admin_server() {
    let flags = ["--proxy-protocol", "10.0.0.0/8", "--admin", "127.0.0.1:0"];
    let (mut server, address) = Server::start(&flags);
    let admin = server.listening();
    let mut stranger = bound::connect(address).unwrap();
    assert!(!stranger.read(&mut [0]).is_ok_and(|amount| amount > 0));
    let line = server.wait_for("refused: 127.0.0.1:");
    assert!(line.ends_with(" is not trusted to send a PROXY header"), "{line}");
    let metrics = answer(&mut ask(admin, b"GET /metrics HTTP/1.0\r\n\r\n"));
    let counted = "adieu_connections_refused_total{service=\"web\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");
    server.ends_well();
}

#[test]
fn what_is_no_network_is_bad_usage() {
    for (given, words) in [
        ("balancer", "error: --proxy-protocol: \"balancer\" is not a network to trust, such as "),
        ("10.0.0.0/8,10.1.2.3/8", "the network of this address is 10.0.0.0/8 (see adieu --help)"),
        ("", "\"\" is no IP address"),
    ] {
        let flags = ["--listen", "web=127.0.0.1:0", "--proxy-protocol", given];
        let (code, said, _) = Server::spawn(adieu().args(flags)).end();
        assert_eq!((code, said.lines().count()), (Some(2), 1), "{said}");
        assert!(said.contains(words), "{said}");
    }
}

// ---------------------------------------------------------------- HAProxy

/// HAProxy asks each server again and again whether it is well, behind headers of its own.
const CHECKS: &str = "option httpchk GET /check
    default-server check inter 50ms check-send-proxy";

/// Two ways from HAProxy to adieu: version 1 over TCP, version 2 over a Unix socket.
/// Clients reach either over TCP, and the first over a Unix socket too, of whose clients no address is known.
fn configuration(web: SocketAddr, checks: &str, directory: &Directory) -> String {
    let (front, app) = (directory.file("front.sock"), directory.file("app.sock"));
    format!(
        "
global
    log stderr format raw daemon

defaults
    log global
    mode tcp
    timeout connect 30s
    timeout client 30s
    timeout server 30s
    timeout check 30s
    {checks}

listen v1
    bind fd@0
    bind unix@{front}
    server web {web} send-proxy

listen v2
    bind fd@1
    server local unix@{app} send-proxy-v2 proxy-v2-options unique-id,crc32c
    unique-id-format %ci:%cp
"
    )
}

/// HAProxy in front of adieu, and where its clients reach it.
struct Balanced {
    adieu: Server,
    haproxy: Server,
    v1: SocketAddr,
    v2: SocketAddr,
    directory: Directory,
}

impl Balanced {
    /// `None` where there is no HAProxy.
    fn start(name: &str, checks: &str, flags: &[&str]) -> Option<Balanced> {
        let haproxy = tool("haproxy", "haproxy")?;
        let directory = Directory::new(name);
        let local = format!("local=unix:{}", directory.file("app.sock"));
        let trusted = ["--proxy-protocol", "127.0.0.1,unix"];
        let mut command = adieu();
        command.args(["--listen", "web=127.0.0.1:0", "--listen", &local]).args(trusted).args(flags);
        let mut adieu = Server::spawn(command.env("RUST_LOG", ACCESS));
        let web = adieu.listening();
        adieu.wait_for("local listening on ");
        let file = directory.file("haproxy.cfg");
        fs::write(&file, configuration(web, checks, &directory)).unwrap();
        // HAProxy finds its sockets as its standard input and output.
        let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [v1, v2] = sockets.each_ref().map(|socket| socket.local_addr().unwrap());
        let [stdin, stdout] = sockets.map(OwnedFd::from);
        let mut command = Command::new(haproxy);
        let haproxy = Server::spawn(command.args(["-db", "-f", &file]).stdin(stdin).stdout(stdout));
        Some(Balanced { adieu, haproxy, v1, v2, directory })
    }
}

fn curl(arguments: &[&str]) -> Option<Command> {
    let mut command = Command::new(tool("curl", "curl")?);
    command.args(["--silent", "--show-error"]).args(arguments);
    Some(command)
}

fn says(command: &mut Command) -> String {
    let output = bound::output(command).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn clients_of_haproxy_are_named_and_its_health_checks_pass() {
    let Some(mut balanced) = Balanced::start("haproxy", CHECKS, &[]) else { return };
    let Balanced { adieu, haproxy, v1, v2, directory } = &mut balanced;
    for (version, address, server) in [("v1", v1, "web"), ("v2", v2, "local")] {
        let url = format!("http://{address}/{version}");
        // Two requests over one connection.
        let Some(mut curl) = curl(&["--interface", "127.0.0.7", &url, &url]) else { return };
        assert_eq!(says(&mut curl), format!("Hello from {server}").repeat(2));
        for _ in 0..2 {
            let line = adieu.wait_for(&format!("\"GET /{version}\" 200 "));
            assert!(line.contains(&format!("{server} 127.0.0.7:")), "{line}");
        }
    }
    // For a client without an address HAProxy sends UNKNOWN.
    let front = directory.file("front.sock");
    let Some(mut curl) = curl(&["--unix-socket", &front, "http://test/unknown"]) else {
        return;
    };
    assert_eq!(says(&mut curl), "Hello from web");
    let line = adieu.wait_for("\"GET /unknown\" 200 ");
    assert!(line.contains("web 127.0.0.1:"), "{line}");
    // Checks of either version: LOCAL, and an address of HAProxy's own.
    for from in ["local local client ", "web 127.0.0.1:"] {
        let check = |line: &str| line.contains(from) && line.contains("\"GET /check\" 200 ");
        while !check(&adieu.wait_for("\"GET /check\" 200 ")) {}
    }
    haproxy.signal(libc::SIGINT);
    haproxy.wait();
    let told = haproxy.child.stderr.as_mut().unwrap().all();
    let told = String::from_utf8_lossy(&told);
    assert!(!told.contains("DOWN"), "{told}");
    let said = balanced.adieu.ends_well();
    assert!(!said.contains("refused"), "{said}");
}

#[test]
fn a_request_in_flight_through_haproxy_is_answered_when_the_drain_begins() {
    let flags = ["--delay", "500ms", "--admin", "127.0.0.1:0"];
    let Some(mut balanced) = Balanced::start("haproxy-drain", "", &flags) else { return };
    let admin = balanced.adieu.listening();
    let mut clients = [balanced.v1, balanced.v2].map(|address| ask(address, GET));
    let are_in_flight = || {
        let metrics = answer(&mut ask(admin, b"GET /metrics HTTP/1.0\r\n\r\n"));
        let is_in_flight =
            |name| metrics.contains(&format!("adieu_in_flight{{service=\"{name}\"}} 1\n"));
        is_in_flight("web") && is_in_flight("local")
    };
    until("both are in flight", are_in_flight);
    balanced.adieu.signal(libc::SIGTERM);
    for (client, name) in clients.iter_mut().zip(["web", "local"]) {
        let answer = answer(client);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert!(answer.ends_with(&format!("Hello from {name}")), "{answer}");
    }
    drop(clients);
    let (code, said, _) = balanced.adieu.end();
    assert_eq!(code, Some(0), "{said}");
}
