//! Unix sockets as an address.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::Path;
use std::process::Command;

use adieu::{Connection, Error, Listener, Peer, SocketListener, SocketStream, Supervisor, Tcp};
use futures_lite::AsyncWriteExt;

use crate::clients;
use crate::directory::Directory;
use crate::rig::{self, run_with};

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

#[test]
fn the_file_is_there_while_somebody_listens() {
    let directory = Directory::new("there");
    let (path, address) = directory.socket();
    let listener = SocketListener::bind(&address).expect("the name is free");
    assert_eq!(listener.address(), address);
    assert_eq!(listener.local_addr(), None);
    assert!(is_socket(&path));
    StdStream::connect(&path).expect("it listens");
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn the_mode_is_set() {
    let directory = Directory::new("mode");
    let (path, address) = directory.socket();
    let listener = SocketListener::bind(&format!("{address},mode=600")).expect("the name is free");
    let mode = fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(listener.address(), address);
}

#[test]
fn a_stale_socket_is_replaced() {
    let directory = Directory::new("stale");
    let (path, address) = directory.socket();
    drop(StdListener::bind(&path).expect("the name is free"));
    assert!(is_socket(&path), "std leaves it behind");
    let _listener = SocketListener::bind(&address).expect("it is replaced");
    StdStream::connect(&path).expect("it listens");
}

#[test]
fn a_socket_that_somebody_listens_on_is_not() {
    let directory = Directory::new("taken");
    let (path, address) = directory.socket();
    let _theirs = StdListener::bind(&path).expect("the name is free");
    let error = SocketListener::bind(&address).expect_err("it is taken").in_service("api");
    assert!(
        error.to_string().starts_with(&format!("api: cannot listen on {address}: ")),
        "{error}"
    );
    assert!(matches!(error, Error::Bind { .. }));
    StdStream::connect(&path).expect("they still listen");
}

#[test]
fn a_lock_on_its_directory_is_waited_for_a_second_and_named() {
    let directory = Directory::new("locked");
    let (path, address) = directory.socket();
    let folder = path.parent().expect("it is in a directory");
    let held = fs::File::open(folder).expect("it is there");
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockShared).expect("nobody else has it");
    let error = SocketListener::bind(&address).expect_err("it is locked").to_string();
    let lock = format!("another process holds a lock (flock) on {}", folder.display());
    assert!(error.contains(&address) && error.ends_with(&lock), "{error}");
    drop(held);
    SocketListener::bind(&address).expect("it is free again");
}

#[test]
fn a_file_that_is_no_socket_is_not_replaced() {
    let directory = Directory::new("file");
    let (path, address) = directory.socket();
    fs::write(&path, "precious").expect("the directory is ours");
    assert!(matches!(SocketListener::bind(&address), Err(Error::Bind { .. })));
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "precious");
}

#[test]
fn a_successor_keeps_its_file() {
    let directory = Directory::new("successor");
    let (path, address) = directory.socket();
    let old = SocketListener::bind(&address).expect("the name is free");
    fs::remove_file(&path).expect("it is there");
    let _new = SocketListener::bind(&address).expect("the name is free again");
    drop(old);
    assert!(is_socket(&path));
}

#[test]
fn an_address_that_makes_no_sense_is_bad_usage() {
    for address in ["unix:", "unix:@", "unix:/tmp/x,mode=1000", "unix:/tmp/x,mode=rw"] {
        let error = SocketListener::bind(address).expect_err(address);
        assert!(matches!(error, Error::Address { .. }), "{error}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_name_needs_no_file() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    let name = format!("adieu-test-{}", std::process::id());
    let address = format!("unix:@{name}");
    let listener = SocketListener::bind(&address).expect("the name is free");
    assert_eq!(listener.address(), address);
    let remote = SocketAddr::from_abstract_name(&name).expect("it is a name");
    StdStream::connect_addr(&remote).expect("it listens");
    SocketListener::bind(&address).expect_err("it is taken");
    drop(listener);
    SocketListener::bind(&address).expect("it is free again");
}

/// Serves raw bytes on a Unix socket while `client` runs; its output.
fn with_greeter(name: &str, client: impl FnOnce(&Path) -> Command) -> String {
    async fn greet(stream: &mut SocketStream, connection: &Connection) -> io::Result<()> {
        assert_eq!(connection.peer(), &Peer::Unix(1));
        let greeting = format!("hello, {}\n", connection.peer());
        stream.write_all(greeting.as_bytes()).await
    }
    let directory = Directory::new(name);
    let (path, address) = directory.socket();
    let server = Tcp::bind(&address, greet).expect("the name is free");
    let supervisor = Supervisor::new().service("greeter", server);
    let trigger = supervisor.trigger();
    let command = client(&path);
    let client = async {
        let output = clients::stdout(command).await;
        trigger.shut_down();
        output
    };
    let (output, report) = run_with(supervisor, client);
    assert!(report.is_graceful(), "{report}");
    assert!(!path.exists());
    output
}

#[test]
fn socat_is_greeted() {
    let Some(socat) = clients::tool("socat", "socat") else { return };
    let output = with_greeter("socat", |path| {
        let mut command = Command::new(socat);
        command.arg("-u").arg(format!("UNIX-CONNECT:{}", path.display())).arg("-");
        command
    });
    assert_eq!(output, "hello, local client 1\n");
}

#[test]
fn netcat_is_greeted() {
    let Some(nc) = clients::tool("nc", "netcat-openbsd") else { return };
    let output = with_greeter("nc", |path| {
        let mut command = Command::new(nc);
        command.arg("-NU").arg(path);
        command
    });
    assert_eq!(output, "hello, local client 1\n");
}

#[cfg(feature = "http")]
#[test]
fn curl_gets_an_answer_over_a_unix_socket() {
    use adieu::Http;
    use adieu::http::http_types::{Request, Response, Result};

    async fn hello(_request: Request) -> Result<Response> {
        Ok("hello".into())
    }
    let Some(curl) = clients::tool("curl", "curl") else { return };
    let directory = Directory::new("curl");
    let (path, address) = directory.socket();
    let supervisor =
        Supervisor::new().service("api", Http::bind(&address, hello).expect("the name is free"));
    let trigger = supervisor.trigger();
    let client = async {
        let mut command = Command::new(curl);
        command.arg("-sS").arg("--unix-socket").arg(&path).arg("http://localhost/");
        let body = clients::stdout(command).await;
        trigger.shut_down();
        body
    };
    let (body, report) = run_with(supervisor, client);
    assert_eq!(body, "hello");
    assert!(report.is_graceful());
}

#[test]
#[cfg(target_os = "linux")]
fn while_a_listener_closes_newcomers_are_refused_and_its_queue_is_served() {
    let directory = Directory::new("closing");
    let (path, address) = directory.socket();
    let mut listener = SocketListener::bind(&address).expect("it is free");
    let _queued = StdStream::connect(&path).expect("it listens");
    assert!(listener.refuse_newcomers().is_zero());
    let late = StdStream::connect(&path).expect_err("it closes");
    assert_eq!(late.kind(), io::ErrorKind::ConnectionRefused);
    assert!(rig::accepts(&mut listener));
    assert!(!rig::accepts(&mut listener), "the queue is empty");
}
