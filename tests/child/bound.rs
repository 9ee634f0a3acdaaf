//! No test hangs: every wait for a process, a socket or a future that needs the outside world is
//! made here, and fails the test after [`PATIENCE`] with words on what it waited for.
// Each test binary uses some of it.
#![allow(dead_code)]

use std::future::Future;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::FutureExt;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// How long a process may live, and how long a socket or a future may keep a test waiting. It is
/// far more than any of them needs on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a future that waits for real sockets or processes.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    block_within(PATIENCE, future)
}

pub fn block_within<T>(patience: Duration, future: impl Future<Output = T>) -> T {
    let out_of_patience = async {
        smol::Timer::after(patience).await;
        panic!("still waiting after {patience:?}")
    };
    smol::block_on(future.or(out_of_patience))
}

/// Asks until the answer is yes.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A connection whose reads and writes end.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Runs a command to its end and gathers what it writes, as [`Command::output`] does.
pub fn output(command: &mut Command) -> io::Result<Output> {
    let mut process = Process::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let all = |heard: &mut Option<Heard>| heard.as_mut().expect("it is piped").all();
    let (stdout, stderr) = (all(&mut process.stdout), all(&mut process.stderr));
    Ok(Output { status: process.wait(), stdout, stderr })
}

/// A child process. It is killed when this is dropped, or when a wait for it is out of patience.
pub struct Process {
    child: Child,
    command: String,
    deadline: Instant,
    /// What it writes, unless the command has it written somewhere else.
    pub stdout: Option<Heard>,
    pub stderr: Option<Heard>,
}

impl Process {
    /// Starts a command whose standard error is to be listened to.
    pub fn spawn(command: &mut Command) -> io::Result<Process> {
        Process::spawn_muted(command.stderr(Stdio::piped()))
    }

    /// Starts a command; only what the caller has piped is listened to.
    pub fn spawn_muted(command: &mut Command) -> io::Result<Process> {
        Process::spawn_within(PATIENCE, command)
    }

    pub fn spawn_within(patience: Duration, command: &mut Command) -> io::Result<Process> {
        pass_on_no_ignored_signal();
        let mut child = command.spawn()?;
        let (command, deadline) = (format!("{command:?}"), Instant::now() + patience);
        let stdout = child.stdout.take().map(|pipe| Heard::new(pipe, &command, deadline));
        let stderr = child.stderr.take().map(|pipe| Heard::new(pipe, &command, deadline));
        Ok(Process { child, command, deadline, stdout, stderr })
    }

    /// From now on, reads what it writes to a pipe that the test has given it as standard error.
    pub fn listen(&mut self, pipe: impl Read + Send + 'static) {
        self.stderr = Some(Heard::new(pipe, &self.command, self.deadline));
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: i32) {
        let signal = Signal::from_named_raw(signal).expect("it is a signal");
        let process = Pid::from_child(&self.child);
        kill_process(process, signal).expect("it has not been waited for");
        if signal == Signal::STOP {
            // kill(2) does not wait, and the child could still handle what it is sent next.
            until("it has stopped", || {
                let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
                waitid(WaitId::Pid(process), stopped).is_ok_and(|status| status.is_some())
            });
        }
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is a child of ours").is_some()
    }

    pub fn wait(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.child.try_wait().expect("it is a child of ours") {
                return status;
            }
            if Instant::now() > self.deadline {
                let said = self.stderr.as_mut().map(Heard::so_far).unwrap_or_default();
                panic!("{} has not ended in time; it said:\n{said}", self.command);
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has usually ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process writes to a pipe. A thread reads it, so that waiting for it can be given up.
pub struct Heard {
    lines: Receiver<Vec<u8>>,
    heard: Vec<u8>,
    command: String,
    deadline: Instant,
}

impl Heard {
    fn new(pipe: impl Read + Send + 'static, command: &str, deadline: Instant) -> Heard {
        let (sender, lines) = channel();
        thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                if sender.send(std::mem::take(&mut line)).is_err() {
                    return;
                }
            }
        });
        Heard { lines, heard: Vec::new(), command: command.to_owned(), deadline }
    }

    /// The next line, without its end; `None` when the pipe is closed.
    pub fn line(&mut self) -> Option<String> {
        let line = self.next()?;
        Some(String::from_utf8(line).expect("it says UTF-8").trim_end().to_owned())
    }

    /// Reads on until a line that contains `words`.
    pub fn wait_for(&mut self, words: &str) -> String {
        loop {
            match self.line() {
                Some(line) if line.contains(words) => return line,
                Some(_) => {}
                None => {
                    let (command, said) = (self.command.clone(), self.so_far());
                    panic!("{command} ended without saying {words:?}; it said:\n{said}")
                }
            }
        }
    }

    /// Everything, once the pipe is closed.
    pub fn all(&mut self) -> Vec<u8> {
        while self.next().is_some() {}
        std::mem::take(&mut self.heard)
    }

    /// Everything that was heard up to now.
    pub fn so_far(&mut self) -> String {
        self.heard.extend(self.lines.try_iter().flatten());
        String::from_utf8_lossy(&self.heard).into_owned()
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok(line) => {
                self.heard.extend_from_slice(&line);
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                let (command, said) = (self.command.clone(), self.so_far());
                panic!("{command} has said nothing more in time; it said:\n{said}")
            }
        }
    }
}

/// Sees to it that children begin with no signal ignored, whatever this process was started with.
///
/// nohup(1) ignores SIGHUP and a shell without job control ignores SIGINT and SIGQUIT in what it
/// runs in the background; execve(2) hands that on. A signal that has a handler is reset to its
/// default instead. So each ignored one gets a handler here, which does as much: nothing.
fn pass_on_no_ignored_signal() {
    static HANDLED: OnceLock<async_signal::Signals> = OnceLock::new();
    HANDLED.get_or_init(|| {
        // Where there is no /proc, nothing is known to be ignored.
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).expect("a mask"));
        use adieu::Signal::{Alarm, Child, Hup, Int, Quit, Term};
        let signals = [Hup, Int, Quit, Term, Alarm, Child];
        let is_ignored = |signal: &adieu::Signal| mask >> (*signal as i32 - 1) & 1 == 1;
        async_signal::Signals::new(signals.into_iter().filter(is_ignored)).expect("handlers")
    });
}
