//! One request over HTTP/2: the service answers, and the answer goes to h2 as far as the client's
//! windows let it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use ::h2::{Reason, SendStream};
use ::hyper::body::{Body, Buf, Bytes, Frame};
use ::hyper::{Request, Response};
use futures_lite::future;
use log::{debug, error};

use super::streams::{InFlight, Streams};
use crate::connection::Waiting;
use crate::hyper::answer::{self, Answers, Rest};
use crate::hyper::body::RequestBody;
use crate::hyper::{Hyper, HyperError};

/// How much of an answer is handed over at once, in bytes: a DATA frame of the usual size. What waits
/// behind it stays here, where it can be seen, and all streams get a share of the connection's window.
const PIECE: usize = 16 * 1024;

/// How many frames of a body are handed over in a row before the other tasks get a turn.
const FAIR: usize = 32;

/// An answer on its way.
pub(super) struct Answering {
    pub(super) streams: Rc<Streams>,
    pub(super) request: Rc<InFlight>,
}

impl Answering {
    /// Answers one request. Ends when all of the answer is h2's, or when nobody wants it any more.
    pub(super) async fn run<S: Answers>(self, hyper: Rc<Hyper<S>>, request: Request<RequestBody>) {
        let InFlight { upload, respond, status, .. } = &*self.request;
        let connection = &*self.streams.connection;
        let name = connection.context().name();
        let asked = answer::ask(&hyper.service, request, upload, connection, &hyper.date);
        let mut asked = pin!(asked);
        let is_reset = |cx: &mut Context<'_>| respond.borrow_mut().poll_reset(cx).is_ready();
        let answered = self.wait_for(|cx| asked.as_mut().poll(cx), is_reset).await;
        let Some(answered) = answered else { return };
        let (head, body) = match answered {
            Ok(response) => response.into_parts(),
            Err(error) => {
                let error: HyperError = error.into();
                debug!("{name}: the service failed: {error}");
                return self.request.reset(Reason::INTERNAL_ERROR);
            }
        };
        status.set(head.status.as_u16());
        let rest = Rest::of(&head.headers, body.as_ref());
        let head = Response::from_parts(head, ());
        let sent = respond.borrow_mut().send_response(head, body.is_none());
        match (sent, body) {
            (Ok(stream), Some(body)) => self.send(stream, body, rest).await,
            (Ok(_), None) => {}
            (Err(error), _) => {
                debug!("{name}: {}: the answer was not sent: {error}", connection.peer());
                return self.request.reset(Reason::INTERNAL_ERROR);
            }
        }
        // What h2 has by now waits for the client alone.
        self.streams.wait(&self.request, Some((Waiting::Answer, u64::MAX)));
    }

    /// Sends the content of the answer.
    async fn send<B>(&self, mut stream: SendStream<Bytes>, body: B, mut rest: Rest)
    where
        B: Body,
        B::Error: Into<HyperError>,
    {
        let mut body = pin!(body);
        for number in 1.. {
            let is_reset = |cx: &mut Context<'_>| stream.poll_reset(cx).is_ready();
            let frame = self.wait_for(|cx| body.as_mut().poll_frame(cx), is_reset).await;
            let frame = match frame {
                Some(frame) => frame.transpose(),
                None => return,
            };
            let frame = match frame.map(|frame| frame.map(Frame::into_data)) {
                Ok(frame) => frame,
                Err(error) => {
                    let error: HyperError = error.into();
                    return self.fail(&error);
                }
            };
            let is_last = body.is_end_stream() || !matches!(frame, Some(Ok(_)));
            let length = frame.as_ref().map_or(0, |it| it.as_ref().map_or(0, Buf::remaining));
            if let Err(why) = rest.take(length, is_last) {
                return self.fail(&why);
            }
            let sent = match frame {
                Some(Ok(content)) => self.send_content(&mut stream, content, is_last).await,
                Some(Err(trailers)) => match trailers.into_trailers() {
                    Ok(trailers) => stream.send_trailers(trailers).map(|()| false),
                    Err(_unknown) => Ok(true),
                },
                None => stream.send_data(Bytes::new(), true).map(|()| false),
            };
            match sent {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    debug!("{}: {error}", self.streams.connection.peer());
                    return self.request.reset(Reason::INTERNAL_ERROR);
                }
            }
            if number % FAIR == 0 {
                future::yield_now().await;
            }
        }
    }

    /// Gives the answer up: what has been sent of it must not look whole.
    fn fail(&self, why: &dyn fmt::Display) {
        let name = self.streams.connection.context().name();
        error!("{name}: an answer's body failed: {why}");
        self.request.reset(Reason::INTERNAL_ERROR);
    }

    /// Sends a frame's content, piece by piece. Returns whether there is more to come.
    async fn send_content(
        &self,
        stream: &mut SendStream<Bytes>,
        mut content: impl Buf,
        is_last: bool,
    ) -> Result<bool, ::h2::Error> {
        if !content.has_remaining() {
            if is_last {
                stream.send_data(Bytes::new(), true)?;
            }
            return Ok(!is_last);
        }
        self.streams.hold(&self.request, content.remaining());
        for number in 0.. {
            let most = content.remaining().min(PIECE);
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
            let ends = is_last && !content.has_remaining();
            stream.send_data(piece, ends)?;
            if !content.has_remaining() {
                break;
            }
        }
        Ok(!is_last)
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
