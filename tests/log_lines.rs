//! What the binary's log looks like: with a time where nobody else notes one, or as JSON.
#![cfg(feature = "bin")]

mod child;

use std::fs::File;
use std::io::{self, Read};
use std::process::{Command, Stdio};

use child::bound::Process;
use child::{Server, adieu, answer, ask};
use rustix::pty;
use serde_json::Value;

const LISTEN: [&str; 2] = ["--listen", "web=127.0.0.1:0"];

/// What a server says of a drain without clients, the addresses aside.
const WORDS: [&str; 4] = [
    "web listening on ",
    "SIGTERM begins the shutdown",
    "shutting down servers, please wait...",
    "a graceful bye",
];

/// All that a server says until it has been told to end.
fn said(command: &mut Command) -> Vec<String> {
    let mut server = Server::spawn(command);
    let listening = server.child.stderr.as_mut().unwrap().line().unwrap();
    assert!(listening.contains("web listening on "), "{listening}");
    server.signal(libc::SIGTERM);
    let (code, said, _) = server.end();
    assert_eq!(code, Some(0), "{said}");
    // Another user than root may not be permitted to, and is told so.
    let is_expected = |line: &&str| !line.contains("cannot keep new handshakes away");
    said.lines().filter(is_expected).map(str::to_owned).collect()
}

/// Each line is `[`, perhaps a time, `INFO  adieu] `, and the words.
fn assert_lines(lines: &[String], have_time: bool) {
    assert_eq!(lines.len(), WORDS.len(), "{lines:?}");
    for (line, words) in lines.iter().zip(WORDS) {
        let rest = line.strip_prefix('[').unwrap();
        let rest = match have_time {
            true => after_time(rest).strip_prefix(' ').unwrap(),
            false => rest,
        };
        assert!(rest.starts_with(&format!("INFO  adieu] {words}")), "{line}");
    }
}

/// What stands behind a time such as `2026-01-31T23:59:59.999Z`.
fn after_time(line: &str) -> &str {
    let shape = line.get(..24).unwrap_or(line).replace(|c: char| c.is_ascii_digit(), "0");
    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{line}");
    &line[24..]
}

#[test]
fn lines_have_a_time_in_a_pipe_unless_told_otherwise() {
    assert_lines(&said(adieu().args(LISTEN).env_remove("JOURNAL_STREAM")), true);
    // Inherited from a parent whose standard error was another one.
    assert_lines(&said(adieu().args(LISTEN).env("JOURNAL_STREAM", "8:1")), true);
    assert_lines(&said(adieu().args(LISTEN).args(["--log-format", "plain"])), false);
}

#[test]
fn lines_have_no_time_in_the_journal_unless_told_otherwise() {
    let script = "JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2) exec \"$0\" \"$@\"";
    let in_journal = || {
        let mut command = Command::new("sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_adieu")]).args(LISTEN);
        command.env_remove("RUST_LOG");
        command
    };
    assert_lines(&said(&mut in_journal()), false);
    assert_lines(&said(in_journal().args(["--log-format", "time"])), true);
}

/// The other side of a terminal ends with an error when nobody has it open any more.
struct Screen(File);

impl Read for Screen {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes).or(Ok(0))
    }
}

#[test]
fn lines_have_no_time_on_a_terminal() {
    let screen = pty::openpt(pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY).unwrap();
    pty::grantpt(&screen).unwrap();
    pty::unlockpt(&screen).unwrap();
    let name = pty::ptsname(&screen, Vec::new()).unwrap();
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
    let terminal = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();
    let mut command = adieu();
    command.args(LISTEN).stdout(Stdio::null()).stderr(terminal);
    let mut child = Process::spawn_muted(&mut command).unwrap();
    drop(command); // it holds the terminal open
    child.listen(Screen(File::from(screen)));
    let mut lines = vec![child.stderr.as_mut().unwrap().line().unwrap()];
    child.signal(libc::SIGTERM);
    while let Some(line) = child.stderr.as_mut().unwrap().line() {
        lines.push(line);
    }
    assert!(child.wait().success());
    assert_lines(&lines, false);
}

fn objects(said: &str) -> Vec<Value> {
    said.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect()
}

#[test]
fn as_json_each_line_is_an_object_with_the_lines_fields() {
    let mut command = adieu();
    command.args(["--listen", "we\"b\\\n=127.0.0.1:0", "--grace", "200ms", "--delay", "1m"]);
    command.args(["--log-format", "json"]).env("RUST_LOG", "info,adieu::access=debug");
    let mut server = Server::spawn(&mut command);
    let listening = server.child.stderr.as_mut().unwrap().line().unwrap();
    let listening: Value = serde_json::from_str(&listening).unwrap();
    assert_eq!(after_time(listening["time"].as_str().unwrap()), "");
    assert_eq!(listening["level"], "INFO");
    assert_eq!(listening["target"], "adieu");
    let name = "we\"b\\\n";
    assert_eq!(listening["service"], name);
    let address = listening["address"].as_str().unwrap().parse().unwrap();
    assert_eq!(listening["message"], format!("{name} listening on {address}"));

    // Refused by the guard at once; then one that is in flight until it is cut off.
    assert!(answer(&mut ask(address, b"GET /\\ HTTP/1.1\r\nHost: a\r\n\r\n")).contains(" 400 "));
    let stuck = ask(address, b"GET /st%22uck HTTP/1.1\r\nHost: a\r\n\r\n");
    let peer = stuck.local_addr().unwrap().to_string();
    std::thread::sleep(std::time::Duration::from_millis(100)); // the request is on its way
    server.signal(libc::SIGTERM);
    let (code, said, _) = server.end();
    assert_eq!(code, Some(124), "{said}");
    let lines = objects(&said);
    let of = |words: &str| {
        let line = lines.iter().find(|line| line["message"].as_str().unwrap().contains(words));
        line.unwrap_or_else(|| panic!("{words}: {said}"))
    };
    let refused = lines.iter().find(|line| line["target"] == "adieu::access").unwrap();
    assert_eq!(refused["status"], 400);
    assert_eq!(refused["service"], name);
    assert!(refused["took_ms"].is_f64() && refused["sent"].is_u64(), "{refused}");
    assert_eq!(of("begins the shutdown")["cause"], "SIGTERM");
    let cut_off = of("cut off: ");
    assert_eq!(cut_off["level"], "WARN");
    assert_eq!(cut_off["service"], name);
    assert_eq!(cut_off["peer"], peer);
    assert_eq!(cut_off["state"], "active");
    assert_eq!(cut_off["request"], "GET /st%22uck");
    assert_eq!(cut_off["waits_for"], "the handler");
    assert!(cut_off["in_state_ms"].is_u64() && cut_off["age_ms"].is_u64(), "{cut_off}");
    let last = of("the deadline passed with 1 left");
    assert_eq!((&last["left"], &last["cause"]), (&Value::from(1), &Value::from("SIGTERM")));
}

#[test]
fn a_format_that_there_is_not_is_bad_usage() {
    let (code, said, _) = Server::spawn(adieu().args(["--log-format", "xml"])).end();
    assert_eq!(code, Some(2));
    assert!(said.starts_with("error: --log-format: \"xml\" is not plain, time or json"), "{said}");
}

#[test]
fn the_help_says_in_five_lines_what_a_shutdown_does() {
    let help = child::bound::output(adieu().arg("--help")).unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, steps) = help.split_once("What a shutdown does:\n").unwrap();
    let steps: Vec<_> = steps.lines().take_while(|line| !line.is_empty()).collect();
    assert_eq!(steps.len(), 5, "{steps:?}");
    for (number, step) in (1..).zip(steps) {
        assert!(step.starts_with(&format!("  {number}. ")), "{step}");
    }
    assert!(help.lines().all(|line| line.chars().count() <= 100));
}
