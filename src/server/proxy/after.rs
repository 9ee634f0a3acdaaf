//! What is served after the header, in a future that is no larger than the larger of the two parts.
//!
//! Written by hand, since there is one for each connection: an async block would make room for both parts,
//! and for what goes from the one to the other.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

/// Serves what `header` has come to, if anything has. The box of the header is gone by then.
pub(super) fn after<T, H, S, F>(header: Pin<Box<H>>, serve: S) -> impl Future<Output = F::Output>
where
    H: Future<Output = io::Result<Option<T>>>,
    S: FnOnce(T) -> F,
    F: Future<Output = io::Result<()>>,
{
    Part::Header { header, serve: Some(serve) }
}

pin_project! {
    #[project = Projection]
    enum Part<H, S, F> {
        Header { header: Pin<Box<H>>, serve: Option<S> },
        Served { #[pin] served: F },
    }
}

impl<T, H, S, F> Future for Part<H, S, F>
where
    H: Future<Output = io::Result<Option<T>>>,
    S: FnOnce(T) -> F,
    F: Future<Output = io::Result<()>>,
{
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let served = match self.as_mut().project() {
                Projection::Served { served } => return served.poll(cx),
                Projection::Header { header, serve } => {
                    let received = ready!(header.as_mut().poll(cx))?;
                    match received.zip(serve.take()) {
                        Some((received, serve)) => serve(received),
                        None => return Poll::Ready(Ok(())),
                    }
                }
            };
            self.set(Part::Served { served });
        }
    }
}
