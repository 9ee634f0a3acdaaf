//! The client is watched while its request is answered.
//!
//! While the server waits for the handler, or for more of an answer's body, it reads ahead, so it sees the
//! client's end. A client that has only closed its side may still wait for its answer, and to the server that looks
//! the same as a client that is gone. If somebody wants to know, the client is asked: with an interim answer, which
//! every client of HTTP/1.1 skips (RFC 9110, 15.2). The system of a client that is gone answers with a reset. No
//! read shows that after the client's end, so the stream has to watch for it, if it can. If it cannot, the next
//! write fails.

use std::io;
use std::task::{Context, Poll, ready};

use super::wire::Wire;
use crate::net::Stream;
use crate::register::ClientEnd;
use crate::web::CONTINUE;

/// Watches the client while something else is waited for that it is to get. Ready if all should be looked at again;
/// with an error if the client is gone, and nobody is to work for it any more.
pub(super) fn poll_client<S: Stream>(
    wire: &mut Wire<S>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    loop {
        match wire.connection().client() {
            // What it has sent already must not grow. Its end is seen when that is used.
            ClientEnd::Open if wire.has_input() => return Poll::Pending,
            ClientEnd::Open => {
                ready!(wire.poll_read_ahead(cx));
                if wire.has_input() {
                    return Poll::Ready(Ok(()));
                }
            }
            ClientEnd::Closed => {
                ready!(poll_ask(wire, cx));
                if !wire.outbox().is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
            ClientEnd::Gone => return poll_gone(wire),
        }
    }
}

/// Asks a client that has closed its side whether it is there: at first by queueing an interim answer.
fn poll_ask<S: Stream>(wire: &mut Wire<S>, cx: &mut Context<'_>) -> Poll<()> {
    let drops = wire.http().drops_handlers;
    if !wire.owes_answer() || !wire.client().should_be_asked(drops, cx) {
        return Poll::Pending;
    }
    if wire.client().was_asked() {
        ready!(wire.client().poll_reset(cx));
        wire.note_client(ClientEnd::Gone);
    } else {
        // It is watched before it can answer.
        let reset = wire.watch_for_reset();
        wire.client().ask(reset);
        wire.outbox().bytes_mut().extend_from_slice(CONTINUE);
    }
    Poll::Ready(())
}

/// The client is gone. Before the drain, its handler may work on.
fn poll_gone<S: Stream>(wire: &Wire<S>) -> Poll<io::Result<()>> {
    if !wire.http().drops_handlers && !wire.connection().draining() {
        return Poll::Pending;
    }
    wire.connection().count_dropped();
    let words = "the client is gone, and what it waited for was dropped";
    Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, words)))
}
