//! One request over HTTP/2: the service answers, and the answer goes to h2 as far as the client's
//! windows let it.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use ::h2::{Reason, SendStream};
use ::hyper::body::{Body, Buf, Bytes, Frame};
use ::hyper::{Request, Response};
use futures_lite::{FutureExt, future};
use log::{debug, error};

use super::streams::{InFlight, Streams};
use crate::hyper::answer::{self, Answer, Answers};
use crate::hyper::body::RequestBody;
use crate::hyper::fault::HyperError;
use crate::hyper::fit::Rest;
use crate::hyper::settings::Hyper;
use crate::register::Waiting;
use crate::words::{LOG, panic_message};

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
}

impl Drop for Answering {
    fn drop(&mut self) {
        if !self.handed_over.get() {
            self.request.reset(Reason::INTERNAL_ERROR);
        }
    }
}

impl Answering {
    pub(super) fn new(streams: Rc<Streams>, request: Rc<InFlight>) -> Answering {
        Answering { streams, request, handed_over: Cell::new(false) }
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
        let InFlight { upload, respond, status, .. } = &*self.request;
        let connection = &*self.streams.connection;
        let asked = answer::ask(&hyper, request, upload, connection);
        let mut asked = pin!(asked);
        let is_reset = |cx: &mut Context<'_>| respond.borrow_mut().poll_reset(cx).is_ready();
        let answered = self.wait_for(|cx| asked.as_mut().poll(cx), is_reset).await;
        let Some(answered) = answered else { return Ok(false) };
        let Answer { response, fields } = answered.map_err(Into::into)?;
        let (head, body) = response.into_parts();
        status.set(head.status.as_u16());
        let rest = Rest::of(&fields);
        let head = Response::from_parts(head, ());
        let stream = respond.borrow_mut().send_response(head, body.is_none())?;
        match body {
            Some(body) => self.send(stream, body, rest).await,
            None => Ok(true),
        }
    }

    /// Sends the content of the answer.
    async fn send<B>(
        &self,
        mut stream: SendStream<Bytes>,
        body: B,
        mut rest: Rest,
    ) -> Result<bool, HyperError>
    where
        B: Body,
        B::Error: Into<HyperError>,
    {
        let name = self.streams.connection.context().name();
        let mut body = pin!(body);
        for number in 1.. {
            let is_reset = |cx: &mut Context<'_>| stream.poll_reset(cx).is_ready();
            let frame = self.wait_for(|cx| body.as_mut().poll_frame(cx), is_reset).await;
            let Some(frame) = frame else { return Ok(false) };
            let (frame, ends) = rest.take(frame, body.is_end_stream(), name)?;
            match frame.map(Frame::into_data) {
                None => stream.send_data(Bytes::new(), true)?,
                Some(Ok(content)) => {
                    if !self.send_content(&mut stream, content, ends).await? {
                        return Ok(false);
                    }
                }
                Some(Err(frame)) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        stream.send_trailers(trailers)?;
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
    async fn send_content(
        &self,
        stream: &mut SendStream<Bytes>,
        mut content: impl Buf,
        ends: bool,
    ) -> Result<bool, ::h2::Error> {
        if !content.has_remaining() && ends {
            stream.send_data(Bytes::new(), true)?;
        }
        self.streams.hold(&self.request, content.remaining());
        for number in 0.. {
            let most = content.remaining().min(PIECE);
            if most == 0 {
                break;
            }
            let room = poll_fn(|cx| {
                let room = poll_room(stream, most, cx);
                if room.is_pending() {
                    self.request.upload.tend(cx);
                    self.streams.wait(&self.request, Some((Waiting::Answer, number)));
                }
                room
            });
            let Some(room) = room.await.transpose()? else { return Ok(false) };
            let piece = content.copy_to_bytes(room.min(most));
            self.streams.hand_over(&self.request, piece.len());
            stream.send_data(piece, ends && !content.has_remaining())?;
        }
        Ok(true)
    }

    /// Waits for the service. `None`: the stream is reset, by the client or by its limit, or its
    /// connection is gone.
    async fn wait_for<T>(
        &self,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
        mut is_reset: impl FnMut(&mut Context<'_>) -> bool,
    ) -> Option<T> {
        poll_fn(|cx| {
            if let Poll::Ready(done) = poll(cx) {
                self.streams.wait(&self.request, None);
                return Poll::Ready(Some(done));
            }
            if is_reset(cx) {
                return Poll::Ready(None);
            }
            let body = self.request.upload.tend(cx);
            self.streams.wait(&self.request, body.map(|number| (Waiting::Body, number)));
            Poll::Pending
        })
        .await
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
