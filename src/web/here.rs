//! The contexts of the servers that run on this thread, by number: an exchange is thread-safe, and its service is
//! not.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::service::Context as ServiceContext;

thread_local! {
    static CONTEXTS: RefCell<BTreeMap<u64, Weak<Here>>> = RefCell::default();
}

/// No two of the process have the same number.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A server's context, which is found by its number for as long as this is kept.
pub(super) struct Here {
    cx: Rc<ServiceContext>,
    number: u64,
}

impl Here {
    pub(super) fn new(cx: &Rc<ServiceContext>) -> Rc<Here> {
        let number = NEXT.fetch_add(1, Relaxed);
        let here = Rc::new(Here { cx: cx.clone(), number });
        CONTEXTS.with_borrow_mut(|contexts| contexts.insert(number, Rc::downgrade(&here)));
        here
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Finds one; `None` on another thread, or if nobody keeps it any more.
    pub(super) fn find(number: u64) -> Option<Rc<Here>> {
        CONTEXTS.try_with(|contexts| contexts.borrow().get(&number)?.upgrade()).ok()?
    }

    /// Spawns a task that keeps it: the task may go on when the server's last connection is closed.
    #[track_caller]
    pub(super) fn spawn(self: Rc<Here>, task: impl Future<Output = ()> + 'static) {
        let cx = self.cx.clone();
        cx.spawn(Keeps { task, _here: self });
    }
}

impl Deref for Here {
    type Target = ServiceContext;

    fn deref(&self) -> &ServiceContext {
        &self.cx
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        // At the end of a thread there may be no such list any more.
        let _ = CONTEXTS.try_with(|contexts| contexts.borrow_mut().remove(&self.number));
    }
}

pin_project! {
    // By hand, since an async block would make room twice for the future that it awaits.
    struct Keeps<F> {
        #[pin]
        task: F,
        _here: Rc<Here>,
    }
}

impl<F: Future<Output = ()>> Future for Keeps<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().task.poll(cx)
    }
}
