//! A service and how its connections are to be served.

use std::fmt;
use std::rc::Rc;

use ::hyper::header::HeaderValue;
use ::hyper::server::conn::http1;

use crate::web::Limits;
use crate::web::{DateLine, Exchanges};

/// A hyper service as a [`Protocol`](crate::Protocol): HTTP/1.1, or HTTP/2 where the client begins with its
/// preface.
///
/// A service is a `Service<Request<RequestBody>>`: [`RequestBody`](super::RequestBody) stands for the body of
/// either version and keeps it within the [`Limits`]. Services that take any body, such as an axum router or
/// what tonic generates, need no change.
///
/// When shutdown begins, HTTP/1.1 goes by the same rules as [`Http`](crate::Server): what is
/// in flight is answered with `Connection: close`, a connection that is new or idle is closed after
/// one last look, half a request head gets two seconds more and then 408. HTTP/2 connections are told
/// with GOAWAY: streams in flight finish, later ones are refused as safe to retry.
///
/// A request is in flight until the system has taken the last byte of its answer. Over HTTP/2, while a
/// client leaves more than 1 MiB of answers untaken, the handlers of its further requests are not called.
///
/// A request that does not say for which host it is, or says it twice, is answered with 400; CONNECT over
/// HTTP/2 with 405. Every other method goes to the service.
///
/// A panic of the service is answered with 500. An error of the service breaks the connection in
/// HTTP/1.1 and the stream in HTTP/2, as hyper has it: answer with a status instead.
pub struct Hyper<S> {
    pub(super) service: S,
    // Shared with each connection.
    pub(super) limits: Rc<Limits>,
    pub(super) when_gone: WhenGone,
    pub(super) http1: SetUp<http1::Builder>,
    pub(super) http2: SetUp<h2::server::Builder>,
    pub(super) date: DateLine<HeaderValue>,
    pub(super) exchanges: Exchanges,
}

/// What becomes of a handler whose client is gone.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum WhenGone {
    /// It is dropped if the client is seen to be gone; nobody asks.
    DropIfReset,
    /// It is dropped, and a client that has closed its side is asked.
    Drop,
    /// It works on until the drain.
    WorkOn,
}

impl WhenGone {
    pub(super) fn chosen(drops: bool) -> WhenGone {
        if drops { WhenGone::Drop } else { WhenGone::WorkOn }
    }
}

type SetUp<Builder> = Box<dyn Fn(&mut Builder)>;

impl<S: fmt::Debug> fmt::Debug for Hyper<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hyper { service, limits, .. } = self;
        f.debug_struct("Hyper").field("service", service).field("limits", limits).finish()
    }
}

impl<S> Hyper<S> {
    /// Answers requests with `service`, with the default [`Limits`]. It need not be `Send`.
    pub fn new(service: S) -> Hyper<S> {
        Hyper {
            service,
            limits: Rc::default(),
            when_gone: WhenGone::DropIfReset,
            http1: Box::new(|_| {}),
            http2: Box::new(|_| {}),
            date: DateLine::default(),
            exchanges: Exchanges::default(),
        }
    }

    /// Sets the limits.
    pub fn limits(mut self, limits: Limits) -> Hyper<S> {
        self.limits = Rc::new(limits);
        self
    }

    /// Sets what becomes of a handler, or of the body of an answer, whose client is gone.
    ///
    /// By default it is dropped if the client has reset the connection, or over HTTP/2 the stream: services of
    /// the tokio world expect that. With `true` it is also dropped if a client of HTTP/1.1 has closed its side and
    /// turns out to be gone: the server asks it as for [`Exchange::client_gone`](super::Exchange::client_gone).
    /// With `false` it works on. In the drain it is dropped in any case. What is dropped is
    /// [counted](crate::Counts::dropped).
    pub fn drop_handler_when_client_goes(mut self, drops: bool) -> Hyper<S> {
        self.when_gone = WhenGone::chosen(drops);
        self
    }

    /// Has `set_up` change hyper's settings of each HTTP/1.1 connection.
    pub fn http1(mut self, set_up: impl Fn(&mut http1::Builder) + 'static) -> Hyper<S> {
        self.http1 = Box::new(set_up);
        self
    }

    /// Has `set_up` change h2's settings of each HTTP/2 connection. Before it come the defaults here: 200
    /// streams at once, a window of 512 KiB for each and of 1 MiB for all of them, 128 KiB of an answer in h2's own
    /// buffer, and as much of header fields as [`head_size`](Limits::head_size) says, and 32 bytes more for each of
    /// the [`headers`](Limits::headers), as HTTP/2 counts them.
    pub fn http2(mut self, set_up: impl Fn(&mut h2::server::Builder) + 'static) -> Hyper<S> {
        self.http2 = Box::new(set_up);
        self
    }
}
