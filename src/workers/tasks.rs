//! What a service can spawn: tasks, which the drain waits for and which it names, and blocking work
//! on threads of its own.

use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, Location, resume_unwind};

use futures_lite::FutureExt;

use crate::register::TaskName;
use crate::service::Context;

impl Context {
    /// Spawns a task that belongs to the service: the drain waits for it, the deadline ends it.
    ///
    /// If it is not done in time, log, report and page name it by the place of this call:
    /// `mailer: task spawned at src/mail.rs:41 (2)` are two of them.
    ///
    /// The task need not be `Send`. A panic in it ends that task alone and is logged by the
    /// panic hook; to make it a failure of the service, hand it back through a channel.
    #[track_caller]
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.spawn_task(TaskName::SpawnedAt(Location::caller()), task);
    }

    /// Spawns a task, as [`spawn`](Context::spawn) does, that is named by `name` instead of the place:
    /// `mailer: task flush`. With an empty name it is named by the place.
    ///
    /// Tasks of one name are counted together, so give one name to all that do the same.
    #[track_caller]
    pub fn spawn_named(&self, name: &str, task: impl Future<Output = ()> + 'static) {
        match name {
            "" => self.spawn(task),
            name => self.spawn_task(TaskName::named(name), task),
        }
    }

    /// Runs work that blocks (files, a database's library, long calculations) on another thread, and
    /// waits for what it comes to. On the thread of the services it would keep all of them waiting.
    ///
    /// The work belongs to the service like a task, and is named by the place of this call:
    /// `blocking work begun at src/mail.rs:60`. It is begun whether or not the returned future is ever
    /// awaited, and the drain waits for it even if that future was dropped.
    ///
    /// The deadline ends the wait and not the work: no thread can be stopped from outside. Work that has
    /// not begun by then never does. Work under way is left behind: [`run`](crate::Supervisor::run)
    /// returns and does not wait for it, and the end of the process ends it wherever it is. After the
    /// service was cut off, the future is never done.
    ///
    /// The threads are those of [`smol::unblock`]: at most 500 at a time, unless the environment says
    /// otherwise (`BLOCKING_MAX_THREADS`); more work waits in a queue.
    ///
    /// # Panics
    ///
    /// If `work` panics, so does whoever awaits the future.
    #[track_caller]
    pub fn unblock<T: Send + 'static, W: FnOnce() -> T + Send + 'static>(
        &self,
        work: W,
    ) -> impl Future<Output = T> + Send + use<T, W> {
        let name = TaskName::BlockingAt(Location::caller());
        let (done, result) = async_channel::bounded(1);
        let work = smol::unblock(work);
        self.spawn_task(name, async move {
            let ended = AssertUnwindSafe(work).catch_unwind().await;
            // There is room; or nobody waits for it any more.
            let _ = done.try_send(ended);
        });
        async move {
            match result.recv().await {
                Ok(Ok(value)) => value,
                Ok(Err(panic)) => resume_unwind(panic),
                Err(_cut_off) => pending().await,
            }
        }
    }

    fn spawn_task(&self, name: TaskName, task: impl Future<Output = ()> + 'static) {
        let place = self.register().tasks().begin(name);
        self.member().spawn(self.register().in_turns(Some(place), task));
    }
}
