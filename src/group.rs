//! Tasks that live and die together on the supervisor's one executor.
//!
//! A group is counted, never polled: each [`Member`] and each task that one has spawned is an owner
//! of the same [`Tasks`], which hold a channel's only sender. When the last owner is gone the channel
//! closes, and [`Group::ended`] returns. To end a group before its time, [`Group::cut_off`] drops the
//! tasks that are left.
//!
//! So that it is known how long nobody has been there, a group stamps when it becomes quiet: when all that is
//! left is the service itself, or nothing.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use async_channel::{Receiver, Sender};
use pin_project_lite::pin_project;
use slab::Slab;
use smol::{LocalExecutor, Task};

use crate::base::clock::Stamp;

/// Makes an empty group on `executor`, and its first member.
pub(crate) fn group(executor: &Rc<LocalExecutor<'static>>, quiet: Rc<Stamp>) -> (Group, Member) {
    let (alive, ended) = async_channel::bounded(1);
    let tasks = Rc::new(Tasks {
        executor: Rc::downgrade(executor),
        running: RefCell::default(),
        cut_off: Cell::new(false),
        quiet,
        _alive: alive,
    });
    (Group { tasks: Rc::downgrade(&tasks), ended }, Member(tasks))
}

/// The tasks of a group. Owned by its members and by the tasks themselves.
struct Tasks {
    // Weak, or a task that holds a member would keep the executor that owns the task.
    executor: Weak<LocalExecutor<'static>>,
    /// A handle of each task that is not done. Dropping a handle drops its task.
    running: RefCell<Slab<Task<()>>>,
    cut_off: Cell<bool>,
    quiet: Rc<Stamp>,
    _alive: Sender<Infallible>,
}

/// The waiting side of a group.
pub(crate) struct Group {
    tasks: Weak<Tasks>,
    ended: Receiver<Infallible>,
}

impl Group {
    /// Waits until the group has no members left. Cancel-safe.
    ///
    /// Await it outside of the group: a member that waits for its own group waits for ever.
    pub(crate) async fn ended(&self) {
        let Err(_no_owner_left) = self.ended.recv().await;
    }

    /// Whether the group has no members left.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_closed()
    }

    /// How many tasks there are, that of the service included.
    pub(crate) fn len(&self) -> usize {
        self.tasks.upgrade().map_or(0, |tasks| tasks.running.borrow().len())
    }

    /// Drops every task of the group, and those that are still to be spawned. The executor does so
    /// in its next turn, so that destructors run outside of whoever calls this.
    pub(crate) fn cut_off(&self) {
        if let Some(tasks) = self.tasks.upgrade() {
            tasks.cut_off.set(true);
            drop(tasks.running.take());
        }
    }
}

/// Membership in a group: while it, or a task it has spawned, is there, the group goes on.
#[derive(Clone)]
pub(crate) struct Member(Rc<Tasks>);

impl Member {
    /// Spawns a task into the group. It counts from now, not from its first poll.
    ///
    /// Once the group is cut off, or the supervisor's run is over, `task` is dropped unpolled.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let executor = self.0.executor.upgrade().filter(|_| !self.0.cut_off.get());
        let Some(executor) = executor else {
            return;
        };
        let mut running = self.0.running.borrow_mut();
        let place = running.vacant_entry();
        let (tasks, key) = (self.0.clone(), place.key());
        place.insert(executor.spawn(Counted { task, _place: Place { tasks, key } }));
    }
}

/// A task's place among the others. It is given up when the task is done or dropped.
struct Place {
    tasks: Rc<Tasks>,
    key: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = self.tasks.running.borrow_mut();
        // Not there any more if the group was cut off.
        if let Some(task) = running.try_remove(self.key) {
            task.detach();
        }
        if running.len() <= 1 {
            self.tasks.quiet.renew();
        }
    }
}

pin_project! {
    /// A task that counts. (An async block would make room twice for the task in it.)
    struct Counted<F> {
        #[pin]
        task: F,
        _place: Place,
    }
}

impl<F: Future<Output = ()>> Future for Counted<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().task.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SystemClock;

    fn settle(executor: &LocalExecutor<'_>) {
        while executor.try_tick() {}
    }

    #[test]
    fn a_group_ends_when_its_last_task_does_and_cutting_it_off_drops_the_others() {
        let executor = Rc::new(LocalExecutor::new());
        let (group, member) = group(&executor, Stamp::new(Rc::new(SystemClock)));
        let (dropped, inner) = (Rc::new(()), member.clone());
        let held = dropped.clone();
        member.spawn(async move {
            let _held = held;
            inner.spawn(async {});
            std::future::pending().await
        });
        drop(member);
        settle(&executor);
        assert!(!group.has_ended());
        group.cut_off();
        settle(&executor);
        assert!(group.has_ended());
        assert_eq!(Rc::strong_count(&dropped), 1);
    }

    #[test]
    fn a_task_that_ends_gives_its_place_to_the_next() {
        let executor = Rc::new(LocalExecutor::new());
        let (_group, member) = group(&executor, Stamp::new(Rc::new(SystemClock)));
        for _ in 0..3 {
            member.spawn(async {});
            settle(&executor);
        }
        assert_eq!(member.0.running.borrow().capacity(), 4, "the smallest that a slab has");
        assert!(member.0.running.borrow().is_empty());
    }
}
