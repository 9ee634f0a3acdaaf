//! Tasks that live and die together on the supervisor's one executor.
//!
//! A group is counted, never polled: each [`Member`] holds a clone of a channel's only
//! sender, and the [`Group`] waits for the channel to run out of senders. Ending is the
//! executor's part: when the supervisor drops it, every task left in every group is dropped
//! with it, synchronously. (One flat executor and not one per service: DESIGN.md tells why.)

use std::convert::Infallible;
use std::future::Future;
use std::rc::{Rc, Weak};

use async_channel::{Receiver, Sender};
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
        let alive = self.alive.clone();
        let counted = async move {
            task.await;
            drop(alive);
        };
        executor.spawn(counted).detach();
    }
}
