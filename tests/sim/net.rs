//! The in-memory network, made as unkind as a real one: reads and writes are cut short, readiness
//! may be for nothing, and accept fails when the plan says so.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use adieu::testing::{MemoryListener, MemoryStream};
use adieu::{Listener, Peer, Shutdown, Stream};
use fastrand::Rng;
use futures_lite::{AsyncRead, AsyncWrite};

use crate::http2;
use crate::world::{Stamp, World};

/// More failed accepts than this at one instant are a loop that does not back off.
const HOT: usize = 100;

/// What is known of the server's end of a connection.
#[derive(Debug, Default)]
pub struct End {
    pub accepted_at: Duration,
    pub half_closed: bool,
    pub dropped: bool,
    /// Which of the two came first: its order among all that is seen.
    pub closed_order: u64,
    /// When it was seen to be half-closed, and dropped: time passes only between two looks.
    pub half_closed_at: Option<Duration>,
    pub dropped_at: Option<Duration>,
    /// It was dropped after the drain had begun.
    pub dropped_draining: bool,
    /// The first byte came when the drain had begun.
    pub began_draining: bool,
    /// How many bytes the server has read and written.
    pub read: u64,
    pub written: u64,
    /// The same, frame by frame.
    pub http2: http2::Wire,
}

impl End {
    fn note_closed(&mut self, now: Stamp) {
        if self.closed_order == 0 {
            self.closed_order = now.order;
        }
    }
}

pub type SharedEnd = Arc<Mutex<End>>;

pub fn look(end: &SharedEnd) -> MutexGuard<'_, End> {
    end.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time since the start and the order of what is seen, for streams: they have to be thread-safe, and the
/// clock is not.
#[derive(Clone, Debug, Default)]
pub struct Time(Arc<[AtomicU64; 2]>);

impl Time {
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.0[0].load(Ordering::Relaxed))
    }

    pub fn set(&self, now: Duration) {
        self.0[0].store(now.as_nanos() as u64, Ordering::Relaxed);
    }

    pub fn stamp(&self) -> Stamp {
        Stamp { order: self.0[1].fetch_add(1, Ordering::Relaxed) + 1, time: self.now() }
    }
}

pub struct UnkindListener {
    pub inner: MemoryListener,
    pub world: Rc<World>,
    pub service: usize,
    pub shutdown: Shutdown,
    pub handshakes: Duration,
    pub rng: Rng,
}

impl Listener for UnkindListener {
    type Stream = UnkindStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(UnkindStream, Peer)>> {
        let served = &self.world.served[self.service];
        // As by accept(2): out of descriptors is said only if somebody waits.
        if self.world.now() < served.starved_until.get() && served.network.waiting() > 0 {
            if served.failed_accepts.replace(served.failed_accepts.get() + 1) > HOT {
                self.world.violation(format_args!("accept is tried for ever at one instant"));
                return Poll::Pending;
            }
            return Poll::Ready(Err(io::Error::from_raw_os_error(libc::EMFILE)));
        }
        self.inner.poll_accept(cx).map_ok(|(inner, peer)| {
            let accepted_at = self.world.now();
            let end = SharedEnd::new(Mutex::new(End { accepted_at, ..End::default() }));
            served.ends.borrow_mut().push(end.clone());
            self.world.tell(format_args!("{}: accepts {peer}", self.service));
            let rng = Mutex::new(self.rng.fork());
            let shutdown = Box::new(self.shutdown.clone());
            (UnkindStream { inner, end, shutdown, time: self.world.time.clone(), rng }, peer)
        })
    }

    fn address(&self) -> String {
        self.inner.address()
    }

    fn refuse_newcomers(&mut self) -> Duration {
        self.handshakes
    }

    fn has_half_open(&mut self) -> bool {
        self.rng.usize(..8) > 0
    }
}

#[derive(Debug)]
pub struct UnkindStream {
    inner: MemoryStream,
    end: SharedEnd,
    // Boxed, because streams are Unpin.
    shutdown: Box<Shutdown>,
    time: Time,
    rng: Mutex<Rng>,
}

impl UnkindStream {
    fn chance<T>(&self, decide: impl FnOnce(&mut Rng) -> T) -> T {
        decide(&mut self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All of it, most of the time.
    fn part_of(&self, whole: usize) -> usize {
        self.chance(|rng| if rng.bool() { whole } else { rng.usize(1..=whole.clamp(1, 3_000)) })
    }
}

impl Drop for UnkindStream {
    fn drop(&mut self) {
        let mut end = look(&self.end);
        end.dropped = true;
        end.note_closed(self.time.stamp());
        end.dropped_draining = self.shutdown.has_begun();
    }
}

impl AsyncRead for UnkindStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let most = self.part_of(buf.len()).min(buf.len());
        let read = Pin::new(&mut self.inner).poll_read(cx, &mut buf[..most]);
        if let Poll::Ready(Ok(amount)) = read {
            let end = &mut *look(&self.end);
            end.began_draining |= end.read == 0 && self.shutdown.has_begun();
            end.read += amount as u64;
            end.http2.note_read(&buf[..amount], self.time.now());
        }
        read
    }
}

impl AsyncWrite for UnkindStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let most = self.part_of(buf.len()).min(buf.len());
        let written = Pin::new(&mut self.inner).poll_write(cx, &buf[..most]);
        if let Poll::Ready(Ok(amount)) = written {
            let end = &mut *look(&self.end);
            end.written += amount as u64;
            end.http2.note_written(&buf[..amount], self.time.now());
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

impl Stream for UnkindStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.inner.poll_readable(cx) {
            Poll::Pending if self.chance(|rng| rng.usize(..20) == 0) => Poll::Ready(Ok(())),
            readable => readable,
        }
    }

    fn half_close(&self) -> io::Result<()> {
        let end = &mut *look(&self.end);
        end.half_closed = true;
        end.note_closed(self.time.stamp());
        self.inner.half_close()
    }

    fn reset_on_close(&self, resets: bool) {
        self.inner.reset_on_close(resets);
    }
}
