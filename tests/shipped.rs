//! The binary and the examples, as somebody meets them who has just built them.
#![cfg(feature = "bin")]

mod child;

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;

use child::bound;
use child::directory::Directory;
use child::tools::skipped;
use child::{GET, Server, adieu, answer, ask, example};

const README: &str = include_str!("../README.md");
const LISTEN: [&str; 2] = ["--listen", "web=127.0.0.1:0"];

/// adieu must refuse these arguments, in one line that contains the words.
fn refuses(arguments: &[&str], code: i32, words: &str) {
    let (ended, said, _) = Server::spawn(adieu().args(arguments)).end();
    assert_eq!(ended, Some(code), "{arguments:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    assert!(said.starts_with("error: ") && said.contains(words), "{arguments:?}: {said}");
}

// ---------------------------------------------------------------- what README and help say

#[test]
fn the_readmes_library_program_says_what_the_readme_shows() {
    let hello = example("hello");
    let script = r#"
        "$0" & pid=$!
        for _ in $(seq 300); do curl -s 127.0.0.1:8081 >/dev/null && break; sleep 0.1; done
        curl -sg '[::1]:8080/some/path' 127.0.0.1:8081
        kill -INT $pid; wait $pid; echo "exit $?"
    "#;
    let Some(output) = child::in_a_network_of_its_own(script, hello.get_program()) else { return };
    let answers = String::from_utf8(output.stdout).unwrap();
    assert_eq!(answers, "You asked for /some/path\nup\nexit 0\n");
    let said = String::from_utf8(output.stderr).unwrap();
    let shown = README.replace("^C", "");
    assert!(shown.contains(&format!("$ cargo run --example hello\n{said}```")), "{said}");
}

#[test]
fn the_log_that_the_help_speaks_of_has_the_requests_and_all_else() {
    let help = bound::output(adieu().arg("--help")).unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let level = help.split_once("RUST_LOG=").and_then(|(_, rest)| rest.split(' ').next());
    let level = level.expect("the help tells how requests are logged");
    let mut server = Server::spawn(adieu().args(LISTEN).env("RUST_LOG", level));
    let address = server.listening();
    answer(&mut ask(address, b"GET /logged HTTP/1.0\r\n\r\n"));
    let said = server.ends_well();
    for words in ["\"GET /logged\" 200", "INFO", "web listening on", "shutting down servers"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn two_servers_at_one_address_are_an_error_that_names_both() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (given, port) = (taken.to_string(), taken.port());
    let (one, two) = (format!("one={given}"), format!("two={given}"));
    let by_name = format!("two=localhost:{port}");
    let listens = format!("; server \"one\" listens on {given}");
    refuses(&["--listen", &one, "--listen", &two], 1, &listens);
    refuses(&["--listen", &one, "--admin", &given], 1, &listens);
    // The system would give each of them half of the clients.
    let listens =
        format!(": this process listens there already; server \"one\" listens on {given}");
    refuses(&["--reuse-port", "--listen", &one, "--listen", &two], 1, &listens);
    refuses(&["--reuse-port", "--listen", &one, "--listen", &by_name], 1, &listens);
    // What is not for one interface alone overlaps.
    for all in ["[::]", "0.0.0.0"] {
        let all = format!("two={all}:{port}");
        refuses(&["--reuse-port", "--listen", &one, "--listen", &all], 1, &listens);
        refuses(&["--listen", &one, "--listen", &all], 1, "; server \"one\" listens on");
    }
}

#[test]
fn an_address_that_makes_no_sense_is_answered_with_some_that_do() {
    refuses(&["--listen", "web=8080"], 2, "web: \"8080\" is not an address to listen on, such as");
}

// ---------------------------------------------------------------- --admin-drain

#[test]
fn a_script_may_begin_the_drain_if_the_flag_allows_it() {
    refuses(&["--admin-drain"], 2, "--admin-drain: there is no --admin");
    let post = b"POST /drain HTTP/1.0\r\n\r\n";
    for (flags, status) in [(&[][..], "403 "), (&["--admin-drain"], "202 ")] {
        let (mut server, _) = Server::start(&[&["--admin", "127.0.0.1:0"], flags].concat());
        let admin = server.listening();
        let page = answer(&mut ask(admin, b"GET / HTTP/1.0\r\n\r\n"));
        assert!(
            page.contains(concat!("<p>adieu ", env!("CARGO_PKG_VERSION"), ", up for ")),
            "{page}"
        );
        let answer = answer(&mut ask(admin, post));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        if flags.is_empty() {
            server.signal(libc::SIGTERM);
        }
        let (code, said, _) = server.end();
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(said.contains("a trigger begins the shutdown"), !flags.is_empty(), "{said}");
    }
}

// ---------------------------------------------------------------- --timeline

#[test]
fn a_timeline_that_cannot_be_written_is_found_at_the_start() {
    let directory = Directory::new("refused");
    let pipe = directory.file("pipe");
    let made = bound::output(Command::new("mkfifo").arg(&pipe)).unwrap();
    assert!(made.status.success());
    let missing = directory.file("missing/x.svg");
    let itself = directory.file("");
    for file in [&pipe, &missing, &itself, "/dev/full", ""] {
        let words = format!("error: --timeline: cannot write {file}: ");
        refuses(&["--listen", "web=127.0.0.1:0", "--timeline", file], 2, &words);
    }
    // Somebody who reads from it makes it no better.
    let mut reader = Server::spawn(Command::new("cat").arg(&pipe));
    refuses(&["--timeline", &pipe], 2, "is not a regular file");
    assert!(!reader.child.has_ended(), "nobody has written");
}

#[test]
fn a_timeline_without_permission_is_found_at_the_start() {
    if rustix::process::geteuid().is_root() {
        return skipped("root may write everywhere");
    }
    refuses(&["--timeline", "/adieu.svg"], 2, "cannot write /adieu.svg: ");
}

#[test]
fn a_timeline_is_empty_until_the_run_is_over() {
    let directory = Directory::new("written");
    let file = directory.file("x.svg");
    fs::write(&file, "the picture of an earlier run").unwrap();
    refuses(&["--timeline", &file, "--grace", "10"], 2, "--grace");
    assert!(!fs::read(&file).unwrap().is_empty(), "bad usage touches nothing");
    let (server, _) = Server::start(&["--timeline", &file]);
    assert!(fs::read(&file).unwrap().is_empty());
    server.ends_well();
    let svg = fs::read_to_string(&file).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
}

// ---------------------------------------------------------------- sockets handed over

/// adieu with listening sockets handed over as systemd does it (sd_listen_fds(3)), as descriptors
/// from 3 on. Two fit: they reach the shell as its standard input and output.
fn handed_over(names: &str, arguments: &[&str]) -> (Server, SocketAddr) {
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let address = sockets[0].local_addr().unwrap();
    let [one, two] = sockets.map(OwnedFd::from);
    let script = "exec 3<&0 4<&1 </dev/null >/dev/null; LISTEN_PID=$$ exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_adieu")]).args(arguments);
    command.stdin(one).stdout(two).env_remove("RUST_LOG");
    command.env("LISTEN_FDS", (1 + names.matches(':').count()).to_string());
    command.env("LISTEN_FDNAMES", names);
    (Server::spawn(&mut command), address)
}

#[test]
fn a_socket_that_is_handed_over_is_served_by_the_server_of_its_name() {
    // It could not be bound: nobody here has this address.
    let arguments = ["--listen", "web=192.0.2.1:1", "--admin", "192.0.2.1:2"];
    let (mut server, address) = handed_over("web:admin", &arguments);
    assert_eq!(server.listening(), address);
    let admin = server.listening();
    assert!(answer(&mut ask(address, b"GET / HTTP/1.0\r\n\r\n")).ends_with("Hello from web"));
    assert!(answer(&mut ask(admin, b"GET /livez HTTP/1.0\r\n\r\n")).starts_with("HTTP/1.1 200 "));
    server.ends_well();
}

#[test]
fn a_socket_that_is_handed_over_and_fits_no_server_is_an_error_and_nothing_is_bound() {
    let listen = ["--listen", "web=192.0.2.1:1"];
    for (names, words) in [
        ("wbe", "socket \"wbe\" that was handed over: there is no server of this name, only web"),
        ("web:web", "socket \"web\" that was handed over: there are two sockets of this name"),
        ("admin", "socket \"admin\" that was handed over: there is no server of this name"),
    ] {
        let (code, said, _) = handed_over(names, &listen).0.end();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.starts_with("error: cannot use the ") && said.contains(words), "{said}");
    }
}

#[test]
fn what_is_not_for_this_process_is_not_taken() {
    // LISTEN_PID is somebody else's: the variables were inherited, the sockets were not.
    let mut command = adieu();
    command.args(LISTEN).env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "other");
    let mut server = Server::spawn(command.env("LISTEN_PID", "1"));
    let address = server.listening();
    assert!(answer(&mut ask(address, b"GET / HTTP/1.0\r\n\r\n")).ends_with("Hello from web"));
    server.ends_well();
}

// ---------------------------------------------------------------- examples

/// Each example that has been built and takes flags, with its flags. What the README shows (hello)
/// takes none.
fn examples() -> Vec<(String, Vec<&'static str>)> {
    let sources = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).unwrap();
    let files = sources.map(|entry| entry.unwrap().path());
    let names = files.filter(|file| file.extension().is_some_and(|extension| extension == "rs"));
    let names = names.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned());
    names
        .filter(|name| name != "hello")
        .filter(|name| cfg!(feature = "grpc") || name != "three_protocols")
        .filter(|name| cfg!(feature = "hyper") || name != "axum")
        .map(|name| match name.as_str() {
            "three_protocols" => (name, vec!["--http", "--grpc", "--tcp"]),
            "daemon" => (name, vec!["--listen", "--admin"]),
            _ => (name, vec!["--listen"]),
        })
        .collect()
}

#[test]
fn every_example_listens_where_it_is_told_to_says_so_and_says_goodbye() {
    let examples = examples();
    assert!(examples.len() > 6, "{examples:?}");
    for (name, flags) in examples {
        let mut command = example(&name);
        for flag in &flags {
            command.arg(format!("{flag}=127.0.0.1:0"));
        }
        let mut server = Server::spawn(&mut command);
        for _ in &flags {
            let address = server.listening();
            assert!(address.ip().is_loopback() && bound::connect(address).is_ok(), "{name}");
        }
        server.ends_well();
    }
}

#[test]
fn every_example_knows_its_flags_and_no_others() {
    for (name, flags) in examples() {
        let help = bound::output(example(&name).arg("--help")).unwrap();
        let said = String::from_utf8(help.stdout).unwrap();
        assert!(help.status.success() && flags.iter().all(|flag| said.contains(flag)), "{said}");
        for arguments in [&["--lisen", "127.0.0.1:0"][..], &["127.0.0.1:0"], &[flags[0]]] {
            let (code, said, _) = Server::spawn(example(&name).args(arguments)).end();
            assert_eq!(code, Some(2), "{name} {arguments:?}: {said}");
            assert!(said.starts_with("error: ") && said.contains(arguments[0]), "{said}");
        }
    }
}

#[test]
fn the_stream_example_streams_to_who_asks_at_the_address_it_was_given() {
    let mut server = Server::spawn(example("stream").args(["--listen", "127.0.0.1:0"]));
    let address = server.listening();
    let mut stream = ask(address, GET);
    let mut start = [0; 1_000_000];
    stream.read_exact(&mut start).unwrap();
    assert!(start.starts_with(b"HTTP/1.1 200 OK\r\n"));
    drop(stream);
    server.ends_well();
}
