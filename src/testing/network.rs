//! A listener in memory, and the network on which its clients reach it.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::step::{lock, wake};
use super::stream::MemoryStream;
use crate::net::{Listener, Peer};

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
                let peer = Peer::Memory(stream.number());
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
        // Clients in the queue are reset, as by a real close.
        queue.waiting.clear();
    }
}
