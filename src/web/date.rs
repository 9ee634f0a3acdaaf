//! The Date field of answers (RFC 9110, 6.6.1).

use std::cell::{Cell, RefCell};
use std::time::{SystemTime, UNIX_EPOCH};

/// Its value, in the engine's type, made anew once a second.
#[derive(Debug)]
pub(crate) struct DateLine<V> {
    second: Cell<u64>,
    value: RefCell<Option<V>>,
}

impl<V> Default for DateLine<V> {
    fn default() -> DateLine<V> {
        DateLine { second: Cell::new(0), value: RefCell::new(None) }
    }
}

impl<V: Clone> DateLine<V> {
    /// The value for now; `make` makes it.
    pub(crate) fn now(&self, make: impl FnOnce(SystemTime) -> V) -> V {
        let now = SystemTime::now();
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut value = self.value.borrow_mut();
        if self.second.replace(second) != second {
            *value = None;
        }
        value.get_or_insert_with(|| make(now)).clone()
    }
}
