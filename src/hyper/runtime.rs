//! What hyper asks of a runtime, on this one.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::service::Context as ServiceContext;

/// Spawns hyper's tasks into the service. They need not be `Send`.
#[derive(Clone)]
pub struct Spawner(pub(super) Rc<ServiceContext>);

impl<F: Future + 'static> ::hyper::rt::Executor<F> for Spawner {
    fn execute(&self, task: F) {
        self.0.spawn(async move {
            task.await;
        });
    }
}

/// The system's clock, for what is turned on in hyper's settings, such as HTTP/2 keep-alive pings.
/// (The supervisor's own clock hands out sleeps that are not `Send`, which hyper's must be.)
#[derive(Clone, Copy, Debug)]
pub struct Timer;

impl ::hyper::rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn ::hyper::rt::Sleep>> {
        Box::pin(Sleep(smol::Timer::after(duration)))
    }

    fn sleep_until(&self, at: Instant) -> Pin<Box<dyn ::hyper::rt::Sleep>> {
        Box::pin(Sleep(smol::Timer::at(at)))
    }
}

struct Sleep(smol::Timer);

impl ::hyper::rt::Sleep for Sleep {}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(())
    }
}
