//! The real binary as a child process: started, listened to, signalled, asked, waited for.
// Each test binary uses some of it.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// After this a signal is a second one; before, both of a pair are one request.
pub const NO_PAIR: Duration = Duration::from_millis(150);

/// A running server. What it says is read line by line; dropping it kills it.
pub struct Server {
    pub child: Child,
    pub stderr: BufReader<Box<dyn Read>>,
    pub said: String,
}

impl Server {
    pub fn spawn(command: &mut Command) -> Server {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the command starts");
        let stderr = child.stderr.take().expect("it is piped");
        let stderr = BufReader::new(Box::new(stderr) as Box<dyn Read>);
        Server { child, stderr, said: String::new() }
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
        loop {
            let mut line = String::new();
            let read = self.stderr.read_line(&mut line).expect("it says UTF-8");
            assert!(read > 0, "it ended without saying {words:?}; it said:\n{}", self.said);
            self.said.push_str(&line);
            if line.contains(words) {
                return line.trim_end().to_owned();
            }
        }
    }

    pub fn listening(&mut self) -> SocketAddr {
        let line = self.wait_for("listening on ");
        let address = line.rsplit(' ').next().unwrap();
        address.parse().expect("an address")
    }

    pub fn signal(&self, signal: i32) {
        // Through kill(1): the test needs no unsafe code for it.
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args([format!("-{signal}"), pid]).status().unwrap();
        assert!(killed.success());
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("a child")
    }

    /// Waits for the end; tells the exit code, all that was said, and how long it took.
    pub fn end(mut self) -> (Option<i32>, String, Duration) {
        let began = Instant::now();
        let status = self.wait();
        let took = began.elapsed();
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).expect("it says UTF-8");
        self.said.push_str(&rest);
        (status.code(), std::mem::take(&mut self.said), took)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has usually ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
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
    Command::new(path)
}

pub fn ask(address: SocketAddr, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("it accepts");
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request).unwrap();
    stream
}

pub fn answer(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, and its end");
    answer
}
