//! The real binary as a child process: started, listened to, signalled, asked, waited for.
// Each test binary uses some of it.
#![allow(dead_code)]

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

pub mod bound;
pub mod directory;
pub mod manager;
pub mod tools;

use bound::Process;

pub const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// After this a signal is a second one; before, both of a pair are one request.
pub const NO_PAIR: Duration = Duration::from_millis(150);

/// A running server. What it says is read line by line; dropping it kills it.
pub struct Server {
    pub child: Process,
}

impl Server {
    pub fn spawn(command: &mut Command) -> Server {
        Server { child: Process::spawn(command).expect("the command starts") }
    }

    /// adieu with these arguments, listening on a port of its own, and where that is.
    pub fn start(arguments: &[&str]) -> (Server, SocketAddr) {
        let mut server =
            Server::spawn(adieu().args(["--listen", "web=127.0.0.1:0"]).args(arguments));
        let address = server.listening();
        (server, address)
    }

    /// Reads on until a line that contains `words`.
    pub fn wait_for(&mut self, words: &str) -> String {
        self.child.stderr.as_mut().expect("it is listened to").wait_for(words)
    }

    pub fn listening(&mut self) -> SocketAddr {
        let line = self.wait_for("listening on ");
        let address = line.rsplit(' ').next().unwrap();
        address.parse().expect("an address")
    }

    pub fn signal(&self, signal: i32) {
        self.child.signal(signal);
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait()
    }

    /// Asks it to end. It must do so with a graceful bye; tells all that was said.
    pub fn ends_well(self) -> String {
        self.signal(libc::SIGTERM);
        let (code, said, _) = self.end();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.ends_with("a graceful bye\n"), "{said}");
        said
    }

    /// Waits for the end; tells the exit code, all that was said, and how long it took.
    pub fn end(mut self) -> (Option<i32>, String, Duration) {
        let began = Instant::now();
        let status = self.wait();
        let took = began.elapsed();
        let said = self.child.stderr.as_mut().expect("it is listened to").all();
        (status.code(), String::from_utf8(said).expect("it says UTF-8"), took)
    }
}

pub fn adieu() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adieu"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// An example of this crate, which a plain `cargo test` has built next to the binary.
pub fn example(name: &str) -> Command {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_adieu"));
    let path = binary.parent().expect("a folder").join("examples").join(name);
    assert!(path.exists(), "run a plain `cargo test`, or `cargo build --examples`, first");
    let mut command = Command::new(path);
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// What a shell script says whose network has nobody else in it, so that the well-known ports are
/// free. `$0` is `program`, and curl(1) is there; `None` where that is not permitted.
pub fn in_a_network_of_its_own(script: &str, program: &OsStr) -> Option<Output> {
    let namespace = |script: &str| {
        let mut command = Command::new("unshare");
        // If the one that is started is killed, so is everything in there.
        command.args(["--net", "--pid", "--fork", "--kill-child", "--map-root-user", "sh", "-c"]);
        command.arg(format!("ip link set lo up && {script}")).arg(program).env_remove("RUST_LOG");
        command
    };
    if !tools::permitted(&mut namespace("curl --version"), "unshare --net --pid, ip or curl") {
        return None;
    }
    Some(bound::output(&mut namespace(&format!("{{ {script} }}"))).unwrap())
}

pub fn ask(address: SocketAddr, request: &[u8]) -> TcpStream {
    let mut stream = bound::connect(address).expect("it accepts");
    stream.write_all(request).unwrap();
    stream
}

pub fn answer(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, and its end");
    answer
}
