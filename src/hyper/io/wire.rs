//! What who drives a conversation sees and does of its stream.

use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, ready};

use super::{News, Shared, Wire, lock};
use crate::hyper::portions::{Next, begins_with_request};
use crate::net::Stream;
use crate::register::ClientEnd;
use crate::web::Probe;

impl<S: Stream> Wire<S> {
    /// Lets the engine read so many bytes until its task has had its turn.
    pub(in crate::hyper) fn begin_turn(&self, bytes: usize) {
        lock(&self.shared).turn = bytes;
    }

    pub(in crate::hyper) fn news(&self) -> News {
        let news = &mut lock(&self.shared).news;
        let told = *news;
        (news.received, news.sent) = (0, 0);
        told
    }

    /// What the engine was given so far belongs to a request that is known. Tells how often all was
    /// written by now.
    pub(in crate::hyper) fn forget(&self) -> u64 {
        let Shared { news, next, .. } = &mut *lock(&self.shared);
        if let Next::Any = next {
            *next = Next::Head;
        }
        news.has_received = false;
        news.flushes
    }

    /// The engine knows a request's head, behind which comes a body of this length; `None` is chunks.
    pub(in crate::hyper) fn expect_body(&self, length: Option<u64>) {
        lock(&self.shared).next = Next::behind_head(length);
    }

    /// Whether the next request is here, all of it, though the engine does not know of it yet.
    pub(in crate::hyper) fn next_has_arrived(&self, cx: &mut Context<'_>) -> bool {
        let shared = &mut *lock(&self.shared);
        let is_between = matches!(shared.next, Next::Head);
        is_between
            && (begins_with_request(&shared.early)
                || shared.poll_early(cx).is_ready() && begins_with_request(&shared.early))
    }

    /// Has the next read look at the socket, even if nobody has said that something is there.
    pub(in crate::hyper) fn look(&self) {
        lock(&self.shared).look = true;
    }

    /// Reads ahead once, while a request is answered, so that a client that is gone is noticed. Ready
    /// if something is new: bytes, or the client's end.
    pub(in crate::hyper) fn poll_ahead(&self, cx: &mut Context<'_>) -> Poll<()> {
        lock(&self.shared).poll_ahead(cx)
    }

    /// Asks a client that has closed its side whether it is gone. Ready once it is. Nothing of an answer may have
    /// been written.
    pub(in crate::hyper) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Shared { stream, probe, news, .. } = &mut *lock(&self.shared);
        if probe.is_none() && news.is_blocked {
            return Poll::Pending;
        }
        let probe = probe.get_or_insert_with(|| Box::new(Probe::new(stream)));
        ready!(probe.poll_gone(stream, cx));
        news.client = ClientEnd::Gone;
        Poll::Ready(())
    }

    /// Writes in the engine's place, as much as the client takes without waiting. Tells whether that is all.
    pub(in crate::hyper) fn say(&self, words: &[u8], cx: &mut Context<'_>) -> bool {
        let shared = &mut *lock(&self.shared);
        if shared.news.is_blocked {
            return false;
        }
        let written = shared.poll_write(cx, |stream, cx| stream.poll_write(cx, words));
        matches!(written, Poll::Ready(Ok(amount)) if amount == words.len())
    }

    /// How many bytes that were written the client has not received yet, as far as that is known.
    pub(in crate::hyper) fn unreceived(&self) -> u64 {
        lock(&self.shared).stream.unreceived().unwrap_or(0) as u64
    }

    /// If the stream is closed while this is so, the client's end of it is reset.
    pub(in crate::hyper) fn reset_on_close(&self, resets: bool) {
        let shared = &mut *lock(&self.shared);
        if shared.resets != resets {
            shared.resets = resets;
            shared.stream.reset_on_close(resets);
        }
    }

    /// Waits until the engine, or whoever has the stream from it, has let it go.
    pub(in crate::hyper) async fn closed(&self) {
        let Err(_closed) = self.open.recv().await;
    }

    /// The stream, once the engine has let it go.
    pub(in crate::hyper) fn into_stream(self) -> Option<S> {
        let shared = Arc::into_inner(self.shared)?;
        Some(shared.into_inner().unwrap_or_else(PoisonError::into_inner).stream)
    }
}
