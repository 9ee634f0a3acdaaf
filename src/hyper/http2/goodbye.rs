//! The goodbye to a client: it is told to go, and then has a moment to do so.
//!
//! A first GOAWAY says that no more requests should come (RFC 9113, 6.8). Those on their way are served until
//! the client has acknowledged a ping, which h2 sends along with it. If a client never does, or goes on asking,
//! its moment ends after [`HEAD_GRACE`]: from then on what it asks is refused, and when nothing is in flight any
//! more the connection ends.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Instant;

use ::h2::server::Connection as Engine;
use ::hyper::body::Bytes;

use super::framed::Framed;
use crate::net::Stream;
use crate::register::HEAD_GRACE;
use crate::server::Connection;

/// How far the goodbye has come.
#[derive(Default)]
pub(super) enum Goodbye {
    #[default]
    Unsaid,
    Said(Moment),
    /// The client has had its moment.
    Over,
}

/// The client's moment.
pub(super) struct Moment {
    since: Instant,
    wait: Pin<Box<dyn Future<Output = ()>>>,
    /// Whether the wait has begun in the drain, and so reaches no further than the deadline.
    in_drain: bool,
}

impl Moment {
    fn new(since: Instant, connection: &Connection) -> Moment {
        let context = connection.context().clone();
        let passed = context.clock().now().saturating_duration_since(since);
        let left = HEAD_GRACE.saturating_sub(passed);
        let wait = Box::pin(async move { context.sleep_in_time(left).await });
        Moment { since, wait, in_drain: connection.draining() }
    }
}

impl Goodbye {
    pub(super) fn is_said(&self) -> bool {
        !matches!(self, Goodbye::Unsaid)
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self, Goodbye::Over)
    }

    /// Tells the client to go, with the next bytes that h2 writes.
    pub(super) fn say<S: Stream>(
        &mut self,
        engine: &mut Engine<Framed<S>, Bytes>,
        connection: &Connection,
    ) {
        engine.graceful_shutdown();
        *self = Goodbye::Said(Moment::new(connection.clock().now(), connection));
    }

    /// Sees whether the client's moment is over. If not, the task of `cx` is woken when it is.
    pub(super) fn watch(&mut self, connection: &Connection, cx: &mut Context<'_>) {
        let Goodbye::Said(moment) = self else { return };
        if connection.draining() && !moment.in_drain {
            *moment = Moment::new(moment.since, connection);
        }
        if moment.wait.as_mut().poll(cx).is_ready() {
            *self = Goodbye::Over;
        }
    }
}
