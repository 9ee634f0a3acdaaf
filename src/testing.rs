//! A clock and a network that a test moves by hand. (Feature `testing`.)
//!
//! Step the executor, look, step again: nothing here sleeps and no port is opened.
//!
//! ```
//! use std::time::Duration;
//! use adieu::testing::{ManualClock, memory, settle};
//! use adieu::{Server, Supervisor};
//! # #[cfg(feature = "http")] {
//! use adieu::http::{Http, http_types::{Request, Response, Result}};
//!
//! async fn hello(_: Request) -> Result<Response> {
//!     Ok("Hello".into())
//! }
//!
//! let (listener, network) = memory();
//! let supervisor = Supervisor::new()
//!     .clock(ManualClock::new())
//!     .service("hello", Server::new(listener, Http::new(hello)));
//! let trigger = supervisor.trigger();
//! let executor = smol::LocalExecutor::new();
//! let run = executor.spawn(supervisor.run(futures_lite::stream::pending()));
//!
//! let client = network.connect()?;
//! client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n");
//! settle(&executor);
//! assert!(client.received().ends_with(b"Hello"));
//!
//! trigger.shut_down();
//! settle(&executor);
//! assert!(client.is_closed());
//! assert!(smol::block_on(run).is_graceful());
//! # }
//! # std::io::Result::Ok(())
//! ```

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_lite::{AsyncRead, AsyncWrite};
use slab::Slab;
use smol::LocalExecutor;

use crate::clock::{Clock, Sleep};
use crate::net::{Listener, Peer, Stream};

/// Runs every task until none can go on by itself.
pub fn settle(executor: &LocalExecutor<'_>) {
    while executor.try_tick() {}
}

/// A clock that stands still until it is [advanced](ManualClock::advance). Clones share the time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    now: Rc<Cell<Instant>>,
    sleepers: Rc<RefCell<Slab<(Instant, Waker)>>>,
}

impl ManualClock {
    /// A clock that shows some time.
    #[expect(clippy::new_without_default, reason = "there is no default time")]
    pub fn new() -> ManualClock {
        ManualClock { now: Rc::new(Cell::new(Instant::now())), sleepers: Rc::default() }
    }

    /// Moves the time on and wakes whoever has slept long enough.
    pub fn advance(&self, by: Duration) {
        let now = self.now.get() + by;
        self.now.set(now);
        let sleepers = self.sleepers.borrow();
        let due = sleepers.iter().filter(|(_, (at, _))| *at <= now);
        let due: Vec<Waker> = due.map(|(_, (_, waker))| waker.clone()).collect();
        drop(sleepers);
        due.into_iter().for_each(Waker::wake);
    }

    /// Moves the time on to where the next sleep ends. `None`: nobody sleeps, and it stands still.
    pub fn advance_to_next(&self) -> Option<Instant> {
        let now = self.now.get();
        let sleepers = self.sleepers.borrow();
        // Who has slept long enough was woken already, and may have better things to do.
        let next = sleepers.iter().map(|(_, (at, _))| *at).filter(|at| *at > now).min()?;
        drop(sleepers);
        self.advance(next - now);
        Some(next)
    }

    /// How many sleeps are under way.
    pub fn sleepers(&self) -> usize {
        self.sleepers.borrow().len()
    }

    /// Moves the time on in steps of 50 ms and lets every task run after each.
    pub fn advance_and_settle(&self, by: Duration, executor: &LocalExecutor<'_>) {
        const STEP: Duration = Duration::from_millis(50);
        let mut left = by;
        while !left.is_zero() {
            let step = left.min(STEP);
            self.advance(step);
            settle(executor);
            left -= step;
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.now.get()
    }

    fn sleep_until(&self, at: Instant) -> Sleep {
        Box::pin(ManualSleep { clock: self.clone(), at, key: None })
    }
}

struct ManualSleep {
    clock: ManualClock,
    at: Instant,
    key: Option<usize>,
}

impl Future for ManualSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.clock.now() >= self.at {
            return Poll::Ready(());
        }
        let sleeper = (self.at, cx.waker().clone());
        match self.key {
            Some(key) => self.clock.sleepers.borrow_mut()[key] = sleeper,
            None => self.key = Some(self.clock.sleepers.clone().borrow_mut().insert(sleeper)),
        }
        Poll::Pending
    }
}

impl Drop for ManualSleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.clock.sleepers.borrow_mut().remove(key);
        }
    }
}

/// Makes an in-memory listener and the network on which clients reach it.
pub fn memory() -> (MemoryListener, Network) {
    let network =
        Network { shared: Arc::new(Mutex::new(Queue { open: true, ..Queue::default() })) };
    (MemoryListener { network: network.clone() }, network)
}

/// The clients' side of an in-memory listener. Clones reach the same one.
#[derive(Clone, Debug)]
pub struct Network {
    shared: Arc<Mutex<Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    open: bool,
    waiting: VecDeque<io::Result<MemoryStream>>,
    accept: Option<Waker>,
    clients: u64,
}

/// How many bytes fit into each direction of an in-memory connection, unless said otherwise.
const CAPACITY: usize = 64 * 1024;

impl Network {
    /// Connects: the connection waits in the accept queue. Refused once the listener is closed.
    pub fn connect(&self) -> io::Result<MemoryStream> {
        self.connect_with_capacity(CAPACITY)
    }

    /// The same, where only so many bytes fit into each direction.
    pub fn connect_with_capacity(&self, capacity: usize) -> io::Result<MemoryStream> {
        let mut queue = lock(&self.shared);
        queue.clients += 1;
        let number = queue.clients;
        queue.enter(number, capacity)
    }

    /// The same as [`connect`](Network::connect) by a client of this number, which others may have too.
    pub fn connect_as(&self, number: u64) -> io::Result<MemoryStream> {
        lock(&self.shared).enter(number, CAPACITY)
    }

    /// Has the accept that comes next in the queue fail with `error`.
    pub fn fail_accept(&self, error: io::Error) {
        let mut queue = lock(&self.shared);
        queue.waiting.push_back(Err(error));
        wake(&mut queue.accept);
    }

    /// Whether the listener is still there.
    pub fn is_open(&self) -> bool {
        lock(&self.shared).open
    }

    /// How many connections and scripted errors wait in the accept queue.
    pub fn waiting(&self) -> usize {
        lock(&self.shared).waiting.len()
    }
}

impl Queue {
    fn enter(&mut self, number: u64, capacity: usize) -> io::Result<MemoryStream> {
        if !self.open {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (client, server) = MemoryStream::pair(capacity, number);
        self.waiting.push_back(Ok(server));
        wake(&mut self.accept);
        Ok(client)
    }
}

/// An in-memory [`Listener`]; made by [`memory`].
#[derive(Debug)]
pub struct MemoryListener {
    network: Network,
}

impl Listener for MemoryListener {
    type Stream = MemoryStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(MemoryStream, Peer)>> {
        let mut queue = lock(&self.network.shared);
        match queue.waiting.pop_front() {
            Some(accepted) => Poll::Ready(accepted.map(|stream| {
                let peer = Peer::Memory(stream.number);
                (stream, peer)
            })),
            None => {
                queue.accept = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn address(&self) -> String {
        "memory".to_owned()
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        let mut queue = lock(&self.network.shared);
        queue.open = false;
        // Whoever still waits is reset, as by a real close.
        queue.waiting.clear();
    }
}

/// One end of an in-memory connection. Dropping it closes it: the other end reads the end of the
/// stream and can write no more. Dropped with bytes unread it resets, as TCP does: the other end
/// loses what it has not read yet.
///
/// Tests that step an executor use the methods that do not wait; it reads and writes asynchronously too.
#[derive(Debug)]
pub struct MemoryStream {
    incoming: Arc<Mutex<Pipe>>,
    outgoing: Arc<Mutex<Pipe>>,
    number: u64,
}

#[derive(Debug)]
struct Pipe {
    bytes: VecDeque<u8>,
    capacity: usize,
    ended: bool,
    reset: bool,
    unread: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl MemoryStream {
    fn pair(capacity: usize, number: u64) -> (MemoryStream, MemoryStream) {
        let pipe = || {
            Arc::new(Mutex::new(Pipe {
                bytes: VecDeque::new(),
                capacity,
                ended: false,
                reset: false,
                unread: false,
                reader: None,
                writer: None,
            }))
        };
        let (up, down) = (pipe(), pipe());
        let client = MemoryStream { incoming: down.clone(), outgoing: up.clone(), number };
        (client, MemoryStream { incoming: up, outgoing: down, number })
    }

    /// Sends bytes, whether they fit or not.
    ///
    /// # Panics
    ///
    /// If the connection is closed.
    pub fn send(&self, bytes: &[u8]) {
        let mut pipe = lock(&self.outgoing);
        assert!(!pipe.unread && !pipe.ended, "the connection is closed");
        pipe.bytes.extend(bytes);
        wake(&mut pipe.reader);
    }

    /// Takes what has been received.
    pub fn received(&self) -> Vec<u8> {
        self.receive(usize::MAX)
    }

    /// Takes at most so many bytes of what has been received.
    pub fn receive(&self, most: usize) -> Vec<u8> {
        let mut pipe = lock(&self.incoming);
        let amount = most.min(pipe.bytes.len());
        let bytes = pipe.bytes.drain(..amount).collect();
        wake(&mut pipe.writer);
        bytes
    }

    /// Whether the other end has closed, or half-closed; what it sent before may still be unread.
    pub fn is_closed(&self) -> bool {
        lock(&self.incoming).ended
    }

    /// Whether the other end was closed with bytes unread, and what it had sent last may be lost.
    pub fn is_reset(&self) -> bool {
        lock(&self.incoming).reset
    }

    /// Whether the other end is gone, and not just half-closed.
    pub fn is_gone(&self) -> bool {
        lock(&self.outgoing).unread
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        let mut incoming = lock(&self.incoming);
        incoming.unread = true;
        let resets = !incoming.bytes.is_empty();
        wake(&mut incoming.writer);
        drop(incoming);
        let mut outgoing = lock(&self.outgoing);
        outgoing.ended = true;
        if resets {
            outgoing.reset = true;
            outgoing.bytes.clear();
        }
        wake(&mut outgoing.reader);
    }
}

impl AsyncRead for MemoryStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = lock(&self.incoming);
        if pipe.bytes.is_empty() && !pipe.ended {
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if pipe.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let amount = buf.len().min(pipe.bytes.len());
        io::Read::read_exact(&mut pipe.bytes, &mut buf[..amount])?;
        wake(&mut pipe.writer);
        Poll::Ready(Ok(amount))
    }
}

impl AsyncWrite for MemoryStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = lock(&self.outgoing);
        if pipe.unread || pipe.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let amount = buf.len().min(pipe.capacity.saturating_sub(pipe.bytes.len()));
        if amount == 0 && !buf.is_empty() {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        pipe.bytes.extend(&buf[..amount]);
        wake(&mut pipe.reader);
        Poll::Ready(Ok(amount))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.half_close())
    }
}

impl Stream for MemoryStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = lock(&self.incoming);
        if pipe.bytes.is_empty() && !pipe.ended {
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn half_close(&self) -> io::Result<()> {
        let mut pipe = lock(&self.outgoing);
        pipe.ended = true;
        wake(&mut pipe.reader);
        Ok(())
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test that panicked with the lock has failed already.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
