//! The task of one accepted connection.
//!
//! Written by hand, since there is one for each connection: an async block would make room twice
//! for the future that it awaits.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, ready};

use futures_lite::FutureExt;
use futures_lite::future::CatchUnwind;
use log::{debug, error};
use pin_project_lite::pin_project;

use crate::register::{Entry, State};
use crate::service::Context;
use crate::words::{LOG, panic_message};

/// Makes the task that serves a connection: it contains a panic, and tells how it ended.
pub(super) fn connection_task<F: Future<Output = io::Result<()>>>(
    work: F,
    cx: Rc<Context>,
    entry: Rc<Entry>,
) -> impl Future<Output = ()> {
    ConnectionTask { work: AssertUnwindSafe(work).catch_unwind(), cx, entry }
}

pin_project! {
    struct ConnectionTask<F> {
        #[pin]
        work: CatchUnwind<F>,
        cx: Rc<Context>,
        entry: Rc<Entry>,
    }
}

impl<F: Future<Output = io::Result<()>> + UnwindSafe> Future for ConnectionTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<()> {
        let this = self.project();
        let cx = this.cx;
        let turn = this.entry.with_request(|request| cx.register().turn(request));
        // In other states it has to see bytes first, and says so.
        if matches!(this.entry.state(), State::New | State::Active | State::Upgraded) {
            cx.register().turn_works();
        }
        let polled = this.work.poll(task);
        drop(turn);
        // Not before: the protocol may just have learnt it.
        let peer = this.entry.peer();
        match ready!(polled) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                debug!(target: LOG, service = cx.name(), peer:%, error:%; "{}: {peer}: {error}", cx.name())
            }
            Err(panic) => {
                cx.register().count(|counts| counts.panicked += 1);
                let message = panic_message(&*panic);
                error!(target: LOG, service = cx.name(), peer:%, panic = message; "{}: {peer}: panicked: {message}", cx.name());
            }
        }
        Poll::Ready(())
    }
}
