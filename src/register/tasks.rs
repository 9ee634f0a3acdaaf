//! The tasks of one service in the books: where each was spawned or what it is called, and how many
//! of the same there are. A connection's own task is not among them: it has an [`Entry`](super::Entry).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use crate::words::printable;

/// What a task is called.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TaskName {
    SpawnedAt(&'static Location<'static>),
    /// In printable characters.
    Named(Rc<str>),
    /// Work on a thread of its own.
    BlockingAt(&'static Location<'static>),
}

impl TaskName {
    pub(crate) fn named(name: &str) -> TaskName {
        TaskName::Named(printable(name).into())
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskName::SpawnedAt(at) => write!(f, "task spawned at {}:{}", at.file(), at.line()),
            TaskName::Named(name) => write!(f, "task {name}"),
            TaskName::BlockingAt(at) => {
                write!(f, "blocking work begun at {}:{}", at.file(), at.line())
            }
        }
    }
}

/// Tasks of a service that have one name, as they look at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskStatus {
    /// What they are called: `task spawned at src/mail.rs:41`, `task flush`,
    /// `blocking work begun at src/mail.rs:60`.
    pub name: String,
    /// How many of them are not done.
    pub count: usize,
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => f.write_str(&self.name),
            count => write!(f, "{} ({count})", self.name),
        }
    }
}

/// The tasks of one service that are not done.
#[derive(Default)]
pub(crate) struct Tasks(RefCell<BTreeMap<TaskName, usize>>);

impl Tasks {
    /// Puts a task in the books.
    pub(crate) fn begin(self: &Rc<Self>, name: TaskName) -> Task {
        *self.0.borrow_mut().entry(name.clone()).or_default() += 1;
        Task { tasks: self.clone(), name }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.borrow().values().sum()
    }

    /// How many names they have.
    pub(crate) fn names(&self) -> usize {
        self.0.borrow().len()
    }

    /// Those of the first `most` names.
    pub(crate) fn named(&self, most: usize) -> Vec<TaskStatus> {
        let status =
            |(name, &count): (&TaskName, &usize)| TaskStatus { name: name.to_string(), count };
        self.0.borrow().iter().take(most).map(status).collect()
    }
}

/// A task's place in the books; dropping it takes the task off.
pub(crate) struct Task {
    tasks: Rc<Tasks>,
    name: TaskName,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let mut tasks = self.tasks.0.borrow_mut();
        if let Some(count) = tasks.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                tasks.remove(&self.name);
            }
        }
    }
}
