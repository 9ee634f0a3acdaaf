//! A request's body on its way to whoever reads it, within the limits of time and size.
//!
//! The reader has the [`RequestBody`]; who answers the request has an [`Upload`], the other hold on the
//! same body. The reader takes from the engine directly. What HTTP/2 brings while nobody reads is
//! gathered here: h2 keeps each DATA frame with a record of its own, and a client that sends its body
//! byte by byte would fill far more memory than its window allows, or lose the connection for it.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use ::h2::RecvStream;
use ::hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

use super::fault::{BodyError, Fault, HyperError};

/// The body of a request. Both versions of HTTP have this one, and generic services, such as axum's
/// and tonic's, take it as they take any other.
///
/// A body that is too large, too slow ([`Limits`](super::Limits)) or does not arrive whole ends with a
/// [`BodyError`]. If the answer has not begun by then, the client gets 413, 408 or 400, whatever the
/// service answers. Cancel-safe: dropping a read loses nothing.
pub struct RequestBody(Option<Shared>);

type Shared = Arc<Mutex<State>>;

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").field("is_empty", &self.0.is_none()).finish_non_exhaustive()
    }
}

/// Where a body comes from.
enum Source {
    Http1(Incoming),
    /// With its length, as far as the client has told it, less what has come.
    Http2(RecvStream, Option<u64>),
    /// Nobody wants it any more.
    Gone,
}

/// What the two holds on a body share.
struct State {
    source: Source,
    /// Bytes that may still come.
    left: u64,
    /// What has come while nobody read.
    gathered: Vec<u8>,
    /// Whether nothing more will come: the client has closed its side, and an engine has not been told.
    is_broken_off: bool,
    /// Why the body has ended early.
    fault: Option<Fault>,
    /// The same for its reader, who has not heard of it.
    error: Option<BodyError>,
    /// Whether its reader has seen its end.
    is_read: bool,
    /// Whether its reader has let go of it before: hyper reads the rest.
    is_left: bool,
    /// How often the reader has found nothing.
    waits: u64,
    /// The reader, while it waits.
    reader: Option<Waker>,
    /// Who answers the request, and has to hear that the reader waits.
    answerer: Option<Waker>,
}

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    // Whoever panicked with the lock left plain data behind.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The hold of who answers the request; none if there is no body.
#[derive(Clone)]
pub(super) struct Upload(Option<Shared>);

/// Makes the two holds on a body.
fn shared(source: Source, is_empty: bool, length: u64, most: u64) -> (RequestBody, Upload) {
    let state = || State {
        source,
        left: most,
        gathered: Vec::new(),
        is_broken_off: false,
        // What says that it is too large need not come.
        fault: (length > most).then_some(Fault::TooLarge),
        error: None,
        is_read: false,
        is_left: false,
        waits: 0,
        reader: None,
        answerer: None,
    };
    let shared = (!is_empty).then(|| Arc::new(Mutex::new(state())));
    (RequestBody(shared.clone()), Upload(shared))
}

/// The body of a request over HTTP/1.1, of at most so many bytes.
pub(super) fn of_http1(body: Incoming, most: u64) -> (RequestBody, Upload) {
    let is_empty = body.is_end_stream();
    let length = body.size_hint().lower();
    shared(Source::Http1(body), is_empty, length, most)
}

/// The body of a request over HTTP/2, of at most so many bytes.
pub(super) fn of_http2(body: RecvStream, length: Option<u64>, most: u64) -> (RequestBody, Upload) {
    let is_empty = body.is_end_stream();
    shared(Source::Http2(body, length), is_empty, length.unwrap_or(0), most)
}

impl Upload {
    /// To be called whenever the answer waits, with what wakes whoever is responsible for it. Takes in
    /// what has come and is not read; and tells, if the reader waits for the client, the how many-th
    /// time that is.
    pub(super) fn tend(&self, cx: &Context<'_>) -> Option<u64> {
        let state = &mut *lock(self.0.as_ref()?);
        state.gather(cx);
        if state.answerer.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            state.answerer = Some(cx.waker().clone());
        }
        state.reader.is_some().then_some(state.waits)
    }

    /// Has the reader hear that the client took too long.
    pub(super) fn time_out(&self) {
        if let Some(shared) = &self.0 {
            let state = &mut *lock(shared);
            let reader = state.reader.take();
            state.error = Some(state.end(Fault::TooSlow, BodyError::TooSlow));
            reader.into_iter().for_each(Waker::wake);
        }
    }

    /// Nothing more will come: if the body is not whole by now, its reader hears of it behind what has come.
    pub(super) fn break_off(&self) {
        if let Some(shared) = &self.0 {
            let state = &mut *lock(shared);
            state.is_broken_off = true;
            state.reader.take().into_iter().for_each(Waker::wake);
        }
    }

    /// How many bytes may still come.
    pub(super) fn left(&self) -> u64 {
        self.0.as_ref().map_or(0, |shared| lock(shared).left)
    }

    /// Whether its reader has let go of it before its end.
    pub(super) fn is_left(&self) -> bool {
        self.0.as_ref().is_some_and(|shared| lock(shared).is_left)
    }

    /// What was wrong with the body, if anything was.
    pub(super) fn fault(&self) -> Option<Fault> {
        lock(self.0.as_ref()?).fault
    }
}

impl State {
    /// Takes in what has come over HTTP/2. The client's window stays as it is until somebody reads.
    fn gather(&mut self, cx: &Context<'_>) {
        let Source::Http2(body, _) = &mut self.source else { return };
        // h2 wakes one task for each body: the reader if it waits, or else the one that gathers.
        let waker = self.reader.as_ref().unwrap_or(cx.waker()).clone();
        // The end and an error can be asked for again: they are left to the reader.
        while let Poll::Ready(Some(Ok(content))) = body.poll_data(&mut Context::from_waker(&waker))
        {
            self.gathered.extend_from_slice(&content);
            self.reader.take().into_iter().for_each(Waker::wake);
        }
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(error) = self.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let polled = match &mut self.source {
            Source::Http1(body) => Pin::new(body).poll_frame(cx).map_err(HyperError::from),
            Source::Http2(body, _) if !self.gathered.is_empty() => {
                let content = Bytes::from(std::mem::take(&mut self.gathered));
                release(body, content.len());
                Poll::Ready(Some(Ok(Frame::data(content))))
            }
            Source::Http2(body, _) => poll_http2(body, cx),
            Source::Gone => Poll::Ready(None),
        };
        let frame = match polled {
            Poll::Ready(frame) => frame,
            Poll::Pending if self.is_broken_off => {
                Some(Err("the client has closed its side".into()))
            }
            Poll::Pending => {
                self.wait(cx);
                return Poll::Pending;
            }
        };
        self.reader = None;
        self.is_read |= frame.is_none();
        Poll::Ready(frame.map(|frame| self.admit(frame)))
    }

    /// Lets a frame through if it keeps to the limits.
    fn admit(
        &mut self,
        frame: Result<Frame<Bytes>, HyperError>,
    ) -> Result<Frame<Bytes>, BodyError> {
        let frame = frame.map_err(|error| self.end(Fault::Broken, BodyError::Broken(error)))?;
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        if let Source::Http2(_, Some(expected)) = &mut self.source {
            *expected = expected.saturating_sub(length);
        }
        let left = self.left.checked_sub(length);
        self.left = left.ok_or_else(|| self.end(Fault::TooLarge, BodyError::TooLarge))?;
        Ok(frame)
    }

    /// Takes no more of the body; its reader is told why, once.
    fn end(&mut self, fault: Fault, error: BodyError) -> BodyError {
        self.discard();
        self.fault = Some(fault);
        error
    }

    /// Lets go of what is left of the body. What has come and will not be read makes room for the other
    /// bodies of its connection.
    fn discard(&mut self) {
        let gathered = std::mem::take(&mut self.gathered);
        match &mut self.source {
            Source::Http1(body) => self.is_left = !self.is_read && !body.is_end_stream(),
            Source::Http2(body, _) => release(body, gathered.len()),
            Source::Gone => {}
        }
        (self.source, self.reader) = (Source::Gone, None);
    }

    /// The reader has found nothing.
    fn wait(&mut self, cx: &Context<'_>) {
        if self.reader.is_none() {
            self.waits += 1;
            // The reader is usually polled by the very task that answers, which looks here afterwards.
            match self.answerer.take() {
                Some(waker) if !waker.will_wake(cx.waker()) => waker.wake(),
                waker => self.answerer = waker,
            }
        }
        if self.reader.as_ref().is_none_or(|reader| !reader.will_wake(cx.waker())) {
            self.reader = Some(cx.waker().clone());
        }
    }
}

fn poll_http2(
    body: &mut RecvStream,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, HyperError>>> {
    match ready!(body.poll_data(cx)) {
        Some(Ok(content)) => {
            release(body, content.len());
            Poll::Ready(Some(Ok(Frame::data(content))))
        }
        Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
        None => {
            let trailers = ready!(body.poll_trailers(cx)).map_err(HyperError::from);
            Poll::Ready(trailers.transpose().map(|trailers| trailers.map(Frame::trailers)))
        }
    }
}

/// Lets the client send as much again.
fn release(body: &mut RecvStream, amount: usize) {
    // It can fail only if more is released than was received.
    let _ = body.flow_control().release_capacity(amount);
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &self.0 {
            Some(shared) => lock(shared).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        let Some(shared) = &self.0 else { return true };
        let state = lock(shared);
        state.error.is_none()
            && state.gathered.is_empty()
            && match &state.source {
                Source::Http1(body) => body.is_end_stream(),
                Source::Http2(body, _) => body.is_end_stream(),
                Source::Gone => true,
            }
    }

    fn size_hint(&self) -> SizeHint {
        let Some(shared) = &self.0 else { return SizeHint::with_exact(0) };
        match &lock(shared).source {
            Source::Http1(body) => body.size_hint(),
            Source::Http2(_, Some(length)) => SizeHint::with_exact(*length),
            _ => SizeHint::default(),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            lock(shared).discard();
        }
    }
}
