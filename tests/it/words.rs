//! What people read when something went wrong: causes, outcomes, errors.

use std::error::Error as _;
use std::future::pending;
use std::io;
use std::panic::panic_any;
use std::time::Duration;

use adieu::{Cause, Context, Error, Outcome, Signal, Supervisor, Waiting};

use crate::rig::Rig;

/// How a run ends whose one service, of the name `db`, is this.
fn outcome<Fut>(service: impl FnOnce(Context) -> Fut + 'static) -> (Cause, Outcome)
where
    Fut: Future<Output = io::Result<()>> + 'static,
{
    let mut report = Rig::start(|s: Supervisor| s.service("db", service)).report();
    (report.cause, report.services.remove(0).outcome)
}

#[test]
fn a_failure_is_told_with_its_error_or_its_panic() {
    let (cause, failed) = outcome(|_| async { Err(io::Error::other("no luck")) });
    assert_eq!(cause.to_string(), "the failure of db");
    assert_eq!(failed.to_string(), "failed: no luck");

    let (cause, panicked) = outcome(|_| async { panic!("oh {}", "no") });
    assert_eq!(cause.to_string(), "the failure of db");
    assert_eq!(panicked.to_string(), "panicked: oh no");

    let (_, panicked) = outcome(|_| async { panic_any(7) });
    assert_eq!(panicked.to_string(), "panicked: no message");
}

#[test]
fn each_cause_has_its_words() {
    let (cause, finished) = outcome(|_| async { Ok(()) });
    assert_eq!((cause.to_string(), finished.to_string()).0, "the end of all services");
    assert_eq!(finished.to_string(), "finished");

    let words =
        [(Cause::MainEnded("import".to_owned()), "the end of import"), (Cause::Idle, "idleness")];
    words.iter().for_each(|(cause, words)| assert_eq!(cause.to_string(), *words));

    let told = Rig::start(|s| {
        s.trigger().shut_down();
        s.service("db", async |_: Context| pending::<io::Result<()>>().await)
    });
    told.signal(Signal::Int);
    told.pass(Duration::from_millis(100));
    told.signal(Signal::Int);
    let report = told.report();
    assert_eq!(report.cause.to_string(), "a trigger");
    assert_eq!(Cause::Signal(Signal::Term).to_string(), "SIGTERM");
    let report = report.to_string();
    assert!(
        report.starts_with("shut down by a trigger in 100 ms, aborted by a second signal, SIGINT")
    );
}

#[test]
fn what_is_waited_for_has_its_words() {
    let words = [
        (Waiting::Head, "a request head"),
        (Waiting::Body, "a request body"),
        (Waiting::Handler, "the handler"),
        (Waiting::Answer, "the client to take the answer"),
        (Waiting::Close, "the client to close"),
    ];
    words.iter().for_each(|(waiting, words)| assert_eq!(waiting.to_string(), *words));
}

#[test]
fn an_error_names_the_service_and_the_address_and_keeps_its_source() {
    let source = || io::Error::from_raw_os_error(libc::EADDRINUSE);
    let (address, name) = ("[::]:80".to_owned(), "web".to_owned());
    let address_again = address.clone();
    let errors = [
        (Error::Address { service: None, address, source: source() }, "web: \"[::]:80\" is not an"),
        (
            Error::Bind { service: None, address: address_again, source: source() },
            "web: cannot listen on [::]:80: ",
        ),
        (Error::HandedOver { name, source: source() }, "cannot use the socket \"web\" that was"),
        (Error::Signals(source()), "cannot install the signal handlers: "),
    ];
    for (error, words) in errors {
        let error = error.in_service("web");
        let told = error.to_string();
        assert!(told.starts_with(words), "{told}");
        let kept = error.source().expect("it has a source").to_string();
        assert!(told.ends_with(&kept), "{told}");
    }
}
