//! The bounds that keep every other test from hanging.

use std::future::pending;
use std::panic::catch_unwind;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::bound::{self, Process};
use crate::tools;

const SHORT: Duration = Duration::from_secs(1);

fn shell(script: &str) -> Process {
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", script]).stdin(Stdio::null()).stderr(Stdio::piped());
    Process::spawn_within(SHORT, shell).expect("there is a shell")
}

/// What a wait without hope fails with.
fn failure(wait: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = catch_unwind(wait).expect_err("it must not wait for ever");
    *panic.downcast().expect("it failed with words")
}

#[test]
fn a_child_that_does_not_end_is_killed_and_what_it_said_is_told() {
    let (sender, id) = std::sync::mpsc::channel();
    let words = failure(move || {
        let mut child = shell("echo hello >&2; exec sleep 100");
        child.stderr.as_mut().expect("it is piped").wait_for("hello");
        sender.send(child.id()).expect("it is received");
        child.wait();
    });
    assert!(words.contains("sleep 100") && words.ends_with("it said:\nhello\n"), "{words}");
    let killed = rustix::process::Pid::from_raw(id.recv().expect("it was sent") as i32);
    let exists = rustix::process::test_kill_process(killed.expect("it is an id"));
    assert!(exists.is_err(), "it is killed, and waited for");
}

#[test]
fn a_line_that_is_not_said_is_not_awaited_for_ever_even_if_a_grandchild_keeps_the_pipe_open() {
    let words = failure(|| {
        let mut child = shell("echo hello >&2; sleep 5 &");
        child.stderr.as_mut().expect("it is piped").wait_for("goodbye");
    });
    assert!(words.contains("sleep 5") && words.ends_with("it said:\nhello\n"), "{words}");
}

#[test]
fn a_child_that_ends_without_saying_what_it_should_is_told_at_once() {
    let words = failure(|| {
        shell("echo hello >&2").stderr.as_mut().expect("it is piped").wait_for("goodbye");
    });
    assert!(words.contains("ended without saying \"goodbye\""), "{words}");
}

#[test]
fn a_future_that_is_never_ready_is_given_up() {
    let words = failure(|| bound::block_within(SHORT, pending()));
    assert!(words.starts_with("still waiting"), "{words}");
}

/// It says most where the tests themselves were started with ignored signals, as by nohup(1).
#[test]
fn children_begin_with_no_signal_ignored() {
    let status = bound::output(Command::new("cat").arg("/proc/self/status"));
    let status = status.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let ignored = status.ok().and_then(|status| {
        status.lines().find_map(|line| line.strip_prefix("SigIgn:").map(str::to_owned))
    });
    let Some(ignored) = ignored else { return tools::skipped("there is no /proc here") };
    let ignored = u64::from_str_radix(ignored.trim(), 16).expect("a mask");
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGCHLD] {
        assert_eq!(ignored >> (signal - 1) & 1, 0, "signal {signal}");
    }
}
