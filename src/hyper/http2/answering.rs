//! One request over HTTP/2: the service answers, and the answer goes to h2 as far as the client's
//! windows let it.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use ::h2::{Reason, SendStream};
use ::hyper::body::{Body, Buf, Bytes, Frame};
use ::hyper::header::{CONTENT_TYPE, HeaderValue};
use ::hyper::{Request, Response};
use futures_lite::{FutureExt, future};
use log::{debug, error};

use super::in_flight::InFlight;
use super::streams::Streams;
use crate::hyper::answer::{self, Answer, Answers};
use crate::hyper::body::RequestBody;
use crate::hyper::fault::HyperError;
use crate::hyper::fit::Rest;
use crate::hyper::settings::{Hyper, WhenGone};
use crate::register::Waiting;
use crate::web::{Over, Until, is_event_stream};
use crate::words::{LOG, panic_message, printable};

/// How much of an answer is handed over at once, in bytes: a DATA frame of the usual size. What waits
/// behind it stays here, where it can be seen, and all streams get a share of the connection's window.
const PIECE: usize = 16 * 1024;

/// How many frames of a body are handed over in a row before the other tasks get a turn.
const FAIR: usize = 32;

/// An answer on its way. If it is dropped before all of it is h2's, the stream is reset.
pub(super) struct Answering {
    streams: Rc<Streams>,
    request: Rc<InFlight>,
    handed_over: Cell<bool>,
    /// The wait for the drain of a handler that works on though its client is gone.
    drain: RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>,
}

impl Drop for Answering {
    fn drop(&mut self) {
        // At the deadline the connection says the last word.
        if !self.handed_over.get() && !self.streams.connection.is_cut_off() {
            self.request.reset(Reason::INTERNAL_ERROR);
        }
    }
}

impl Answering {
    pub(super) fn new(streams: Rc<Streams>, request: Rc<InFlight>) -> Answering {
        Answering { streams, request, handed_over: Cell::new(false), drain: RefCell::default() }
    }

    /// Answers one request. Ends when all of the answer is h2's, or when nobody wants it any more. A
    /// panic of the answer's body costs this answer alone.
    pub(super) async fn run<S: Answers>(self, hyper: Rc<Hyper<S>>, request: Request<RequestBody>) {
        let answering = AssertUnwindSafe(self.answer(hyper, request)).catch_unwind();
        match answering.await {
            // What h2 has by now waits for the client alone.
            Ok(Ok(true)) => {
                self.handed_over.set(true);
                self.streams.wait(&self.request, Some((Waiting::Answer, u64::MAX)));
            }
            Ok(Ok(false)) if self.request.is_gone() => {
                self.streams.connection.count_dropped();
                let connection = &self.streams.connection;
                let (name, peer) = (connection.context().name(), connection.peer());
                let request = printable(&self.request.line.to_string());
                debug!(
                    target: LOG, service = name, peer:%, request;
                    "{name}: {peer} is gone, {request} was dropped"
                );
            }
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                let peer = self.streams.connection.peer();
                debug!(target: LOG, peer:%, error:%; "{peer}: {error}");
            }
            Err(panic) => {
                self.streams.connection.count_panic();
                let name = self.streams.connection.context().name();
                let message = panic_message(&*panic);
                error!(
                    target: LOG, service = name, panic = message;
                    "{name}: an answer's body panicked: {message}"
                );
            }
        }
    }

    /// Returns whether all of the answer was handed over.
    async fn answer<S: Answers>(
        &self,
        hyper: Rc<Hyper<S>>,
        request: Request<RequestBody>,
    ) -> Result<bool, HyperError> {
        let connection = &*self.streams.connection;
        let asked = answer::ask(&hyper, request, &self.request.upload, connection);
        let mut asked = pin!(asked);
        let works_on = hyper.when_gone == WhenGone::WorkOn;
        let answered = self.wait_for(works_on, |cx| asked.as_mut().poll(cx)).await;
        let Some(answered) = answered else { return Ok(false) };
        let Answer { response, fields } = answered.map_err(Into::into)?;
        let (head, body) = response.into_parts();
        let rest = Rest::of(&fields);
        let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let is_endless = rest.is_unknown() && kind.is_some_and(is_event_stream);
        let until = is_endless.then(|| Until::new(connection.shutdown()));
        self.request.send_head(Response::from_parts(head, ()), body.is_some())?;
        match body {
            Some(body) => self.send(body, rest, until).await,
            None => Ok(true),
        }
    }

    /// Sends the content of the answer. `until`: ends it with the shutdown.
    async fn send<B>(
        &self,
        body: B,
        mut rest: Rest,
        mut until: Option<Until>,
    ) -> Result<bool, HyperError>
    where
        B: Body,
        B::Error: Into<HyperError>,
    {
        let name = self.streams.connection.context().name();
        let mut body = pin!(body);
        for number in 1.. {
            let frame = self.wait_for(false, |cx| {
                let over = until.as_mut().map_or(Over::No, |until| until.poll_over(cx));
                over.or(|| body.as_mut().poll_frame(cx), None)
            });
            let frame = frame.await;
            let Some(frame) = frame else { return Ok(false) };
            let (frame, ends) = rest.take(frame, body.is_end_stream(), name)?;
            match frame.map(Frame::into_data) {
                None => self.request.content().send_data(Bytes::new(), true)?,
                Some(Ok(content)) => {
                    if !self.send_content(content, ends).await? {
                        return Ok(false);
                    }
                }
                Some(Err(frame)) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        self.request.content().send_trailers(trailers)?;
                    }
                }
            }
            if ends {
                break;
            }
            if number % FAIR == 0 {
                future::yield_now().await;
            }
        }
        Ok(true)
    }

    /// Sends a frame's content, piece by piece. Returns whether all of it was handed over.
    async fn send_content(&self, mut content: impl Buf, ends: bool) -> Result<bool, ::h2::Error> {
        if !content.has_remaining() && ends {
            self.request.content().send_data(Bytes::new(), true)?;
        }
        self.streams.hold(&self.request, content.remaining());
        for number in 0.. {
            let most = content.remaining().min(PIECE);
            if most == 0 {
                break;
            }
            let room = poll_fn(|cx| {
                let room = poll_room(&mut self.request.content(), most, cx);
                if room.is_pending() {
                    self.request.upload.tend(cx);
                    self.streams.wait(&self.request, Some((Waiting::Answer, number)));
                }
                room
            });
            let Some(room) = room.await.transpose()? else { return Ok(false) };
            let piece = content.copy_to_bytes(room.min(most));
            self.streams.hand_over(&self.request, piece.len());
            self.request.content().send_data(piece, ends && !content.has_remaining())?;
        }
        Ok(true)
    }

    /// Waits for the service. `None`: the stream is reset, by the client or by its limit, or its connection is
    /// gone, or its time is over. `works_on`: it is waited for until the drain though the client is gone.
    async fn wait_for<T>(
        &self,
        works_on: bool,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Option<T> {
        poll_fn(|cx| {
            if self.is_given_up(works_on, cx) {
                return Poll::Ready(None);
            }
            if let Poll::Ready(done) = poll(cx) {
                self.streams.wait(&self.request, None);
                return Poll::Ready(Some(done));
            }
            // Before anybody waits for it, a reset of this very turn has to be seen.
            if self.request.poll_reset(cx).is_ready() && !self.request.is_gone() {
                return Poll::Ready(None);
            }
            let body = self.request.upload.tend(cx);
            self.streams.wait(&self.request, body.map(|number| (Waiting::Body, number)));
            Poll::Pending
        })
        .await
    }

    /// Whether nobody waits for the answer any more: then neither does the handler get another turn.
    fn is_given_up(&self, works_on: bool, cx: &mut Context<'_>) -> bool {
        let connection = &self.streams.connection;
        if connection.is_cut_off() {
            return true;
        }
        if !self.request.is_gone() || !works_on {
            return self.request.is_gone();
        }
        let shutdown = connection.shutdown().clone();
        let drain = || -> Pin<Box<dyn Future<Output = ()>>> {
            Box::pin(async move { shutdown.begun().await })
        };
        self.drain.borrow_mut().get_or_insert_with(drain).as_mut().poll(cx).is_ready()
    }
}

/// Waits until there is room for content, of which `most` bytes are there; ready with how many bytes
/// fit. `None`: the stream is closed.
fn poll_room(
    stream: &mut SendStream<Bytes>,
    most: usize,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<usize, ::h2::Error>>> {
    stream.reserve_capacity(most);
    loop {
        match stream.capacity() {
            0 => match ready!(stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                ended => return Poll::Ready(ended),
            },
            room => return Poll::Ready(Some(Ok(room))),
        }
    }
}
