//! HTTP/1.1, with hyper as the engine: one connection's conversation, its limits, the drain.
//!
//! | file | what lives there |
//! |---|---|
//! | `talk.rs` | the requests in flight, and what the books say of them |
//! | `paces.rs` | how fast a client sends and takes |
//! | `content.rs` | the content of an answer, watched for its end |

mod content;
mod paces;
mod talk;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use ::hyper::body::{Body, Incoming};
use ::hyper::header::{CONNECTION, HeaderValue};
use ::hyper::server::conn::http1::{Builder, UpgradeableConnection};
use ::hyper::service::{HttpService, service_fn};
use ::hyper::{Request, Response};
use futures_lite::{AsyncWriteExt, future};

use super::answer::{self, Answer, Answers};
use super::body::{RequestBody, Upload};
use super::fault::HyperError;
use super::fit::date_value;
use super::io::{Io, io};
use super::opening::Opening;
use super::runtime::Timer;
use super::settings::Hyper;
use crate::net::Stream;
use crate::server::{Connection, linger};
use crate::web;
use content::Content;
use talk::{Doing, Noted, Talk};

const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// How much is read before the other tasks get a turn, in bytes.
const FAIR: usize = 128 * 1024;

/// Serves one connection to its end.
pub(super) async fn converse<T: Stream, S: Answers>(
    hyper: Rc<Hyper<S>>,
    stream: T,
    opening: Opening,
    connection: Connection,
) -> io::Result<()> {
    let (io, wire) = io(stream, opening);
    let talk = Rc::new(Talk::new(connection, wire, hyper.limits.clone(), hyper.when_gone));
    let mut builder = Builder::new();
    builder.max_headers(hyper.limits.headers);
    // The head's time is kept by the connection's limit, without a timer for each request. And a client
    // that has sent all that it will send may close its side and wait for the answer.
    builder.timer(Timer).header_read_timeout(None).half_close(true);
    (hyper.http1)(&mut builder);
    let service = {
        let (hyper, talk) = (hyper.clone(), talk.clone());
        service_fn(move |request| {
            // At once: hyper reads of the body before it polls what answers.
            let (request, upload) = talk.begin(request, &hyper.exchanges);
            answer(hyper.clone(), talk.clone(), request, upload)
        })
    };
    let mut conversation = builder.serve_connection(io, service).with_upgrades();
    // The opening is on the books as part of a head, and so is its time.
    let mut noted = Noted { doing: (0, Doing::Head), told: false };
    let end = poll_fn(|cx| {
        if talk.connection.is_cut_off() {
            let date = hyper.date.now(date_value);
            let words = web::last_word(date.to_str().unwrap_or_default());
            let told = talk.say_last_word(&words, cx);
            return Poll::Ready(Ok(if told { End::Told } else { End::Closed }));
        }
        poll(&talk, Pin::new(&mut conversation), &mut noted, cx)
    });
    let end = end.await;
    talk.note_dropped();
    if conversation.into_parts().is_none() {
        talk.upgraded().await;
        return Ok(());
    }
    // The engine is gone, and all that it held of this with it.
    let Some(Talk { connection, wire, .. }) = Rc::into_inner(talk) else { return Ok(()) };
    let is_closing = wire.news().is_closing;
    let Some(mut stream) = wire.into_stream() else { return Ok(()) };
    let ended = match end {
        Ok(End::HeadTooSlow) => {
            // The socket's buffer is empty, or there would be an answer in flight: it fits at once.
            future::poll_once(stream.write_all(TOO_SLOW)).await;
            connection.count_sent(TOO_SLOW.len());
            let took = connection.clock().now().saturating_duration_since(connection.since());
            web::count_answer(&connection, "-", 408, 0, took);
            Ok(())
        }
        Ok(End::Told) => Ok(()),
        ended if is_closing => ended.map(|_| ()),
        ended => return ended.map(|_| ()),
    };
    Box::pin(linger(stream, &connection)).await.and(ended)
}

/// Has the service answer one request.
async fn answer<T: Stream, S: Answers>(
    hyper: Rc<Hyper<S>>,
    talk: Rc<Talk<T>>,
    request: Request<RequestBody>,
    upload: Upload,
) -> Result<Response<Content<S::Content, T>>, S::Error> {
    let asked = answer::ask(&hyper, request, &upload, &talk.connection);
    let mut answer = asked.await?;
    let Answer { response, fields } = &mut answer;
    talk.note_status(response.status());
    if fields.end() == web::End::Close {
        talk.wire.reset_on_close(true);
    }
    let is_last = poll_fn(|cx| Poll::Ready(talk.is_last(cx))).await;
    match fields.connection(!is_last && !fields.closes()) {
        // Whether an HTTP/1.0 client wants that, hyper knows.
        None | Some("keep-alive") => {}
        Some(options) => {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static(options));
        }
    }
    Ok(Content::of(answer, talk))
}

/// How a conversation ended.
enum End {
    Closed,
    HeadTooSlow,
    /// The deadline has come, and the client knows.
    Told,
}

/// Moves the conversation on. Once the drain has begun, or the connection was idle for too long,
/// hyper is told to come to an end; but only after it has looked for bytes once more.
fn poll<T: Stream, S, B>(
    talk: &Talk<T>,
    mut conversation: Pin<&mut UpgradeableConnection<Io<T>, S>>,
    noted: &mut Noted,
    cx: &mut Context<'_>,
) -> Poll<io::Result<End>>
where
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<HyperError>,
    B: Body + 'static,
    B::Error: Into<HyperError>,
{
    talk.wire.begin_turn(FAIR);
    loop {
        // Before the engine is polled, or news that comes with it would wake nobody.
        talk.connection.wake_on_change(cx);
        let expired = talk.connection.expired();
        let rested = noted.doing.1 == Doing::Resting;
        let over = talk.connection.should_close() || (expired && rested);
        if over && !noted.told {
            talk.wire.look();
        }
        let polled = conversation.as_mut().poll(cx);
        let news = talk.take_news();
        if let Poll::Ready(ended) = polled {
            return Poll::Ready(ended.map(|()| End::Closed).map_err(io::Error::other));
        }
        if talk.is_for_nobody() {
            return Poll::Ready(Ok(End::Closed));
        }
        let doing = talk.doing(&news, cx);
        if expired && noted.doing == (talk.asked(), doing) {
            match doing {
                Doing::Head => return Poll::Ready(Ok(End::HeadTooSlow)),
                Doing::Answer(_) if talk.takes_on(doing) => {}
                Doing::Answer(_) => return Poll::Ready(Ok(End::Closed)),
                Doing::Body(_) => {
                    talk.time_body_out();
                    continue;
                }
                Doing::Resting | Doing::Handling => {}
            }
        }
        // Not before: the answer in flight would be the last, whatever stands behind its request in the pipeline.
        if over && !noted.told && doing == Doing::Resting {
            noted.told = true;
            conversation.as_mut().graceful_shutdown();
            continue;
        }
        talk.note(doing, noted);
        match talk.is_answering().then(|| talk.poll_client(cx)) {
            Some(Poll::Ready(())) => {}
            _ if talk.look_again.take() => {}
            _ => return Poll::Pending,
        }
    }
}
