//! A future that is polled at each turn of an executor, and has work to do in few of them.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Polls the future only when somebody has woken it. What `executor.run(future)` runs is polled in each
/// turn before any task: there it is the first to act on news, and costs one look at a flag in all other
/// turns.
pub(crate) struct WhenWoken<F> {
    future: Pin<Box<F>>,
    flag: Arc<Flag>,
    /// Of the flag.
    waker: Waker,
}

struct Flag {
    woken: AtomicBool,
    /// Whoever polls this.
    outer: Mutex<Option<Waker>>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, SeqCst);
        let outer = self.outer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        outer.into_iter().for_each(Waker::wake);
    }
}

impl<F: Future> WhenWoken<F> {
    pub(crate) fn new(future: F) -> WhenWoken<F> {
        let flag = Arc::new(Flag { woken: AtomicBool::new(true), outer: Mutex::new(None) });
        WhenWoken { future: Box::pin(future), waker: flag.clone().into(), flag }
    }
}

impl<F: Future> Future for WhenWoken<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        {
            let outer = &mut *self.flag.outer.lock().unwrap_or_else(PoisonError::into_inner);
            if outer.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
                *outer = Some(cx.waker().clone());
            }
        }
        // Asked after the waker is there, or a wake between the two would be lost.
        if !self.flag.woken.swap(false, SeqCst) {
            return Poll::Pending;
        }
        let this = &mut *self;
        this.future.as_mut().poll(&mut Context::from_waker(&this.waker))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::rc::Rc;

    #[test]
    fn it_is_polled_when_it_is_woken_and_not_otherwise() {
        let (polls, waker) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(None)));
        let (counted, kept) = (polls.clone(), waker.clone());
        let mut woken = Box::pin(WhenWoken::new(poll_fn(move |cx| {
            counted.set(counted.get() + 1);
            kept.set(Some(cx.waker().clone()));
            Poll::<()>::Pending
        })));
        let mut poll = || woken.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll().is_pending() && poll().is_pending());
        assert_eq!(polls.get(), 1, "at first, and never since");
        waker.take().expect("it was polled").wake();
        assert!(poll().is_pending() && poll().is_pending());
        assert_eq!(polls.get(), 2);
    }
}
