//! Tasks that live and die together on the supervisor's one executor.
//!
//! A group is counted, never polled: each [`Member`] holds a clone of a channel's only
//! sender, and the [`Group`] waits for the channel to run out of senders. Ending is the
//! executor's part: when the supervisor drops it, every task left in every group is dropped
//! with it, synchronously. (One flat executor and not one per service: DESIGN.md tells why.)

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use async_channel::{Receiver, Sender};
use pin_project_lite::pin_project;
use smol::LocalExecutor;

/// Makes an empty group on `executor`, and its first member.
pub(crate) fn group(executor: &Rc<LocalExecutor<'static>>) -> (Group, Member) {
    let (alive, ended) = async_channel::bounded(1);
    let executor = Rc::downgrade(executor);
    (Group { ended }, Member { executor, alive })
}

/// The waiting side of a group.
pub(crate) struct Group {
    ended: Receiver<Infallible>,
}

impl Group {
    /// Waits until the group has no members left. Cancel-safe.
    ///
    /// Await it outside of the group: a member that waits for its own group waits for ever.
    pub(crate) async fn ended(&self) {
        let Err(_no_sender_left) = self.ended.recv().await;
    }

    /// Whether the group has no members left.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_closed()
    }
}

/// Membership in a group: while it, or a task it has spawned, is there, the group goes on.
#[derive(Clone)]
pub(crate) struct Member {
    // Weak, or a task that holds a member would keep the executor that owns the task.
    executor: Weak<LocalExecutor<'static>>,
    alive: Sender<Infallible>,
}

impl Member {
    /// Spawns a task into the group. It counts from now, not from its first poll.
    ///
    /// Once the supervisor's run is over there is no executor, and `task` is dropped unpolled.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let Some(executor) = self.executor.upgrade() else {
            return;
        };
        executor.spawn(Counted { task, _alive: self.alive.clone() }).detach();
    }
}

pin_project! {
    /// A task that counts. (An async block would make room twice for the task in it.)
    struct Counted<F> {
        #[pin]
        task: F,
        _alive: Sender<Infallible>,
    }
}

impl<F: Future<Output = ()>> Future for Counted<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().task.poll(cx)
    }
}
