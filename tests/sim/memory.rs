//! Counts the memory that each thread holds, so that a run can be seen to have given all of it back.
#![expect(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The bytes that this thread has allocated and not freed. A run stays on its thread.
pub fn held() -> isize {
    HELD.get()
}

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

fn count(more: usize, less: usize) {
    HELD.set(HELD.get().wrapping_add_unsigned(more).wrapping_sub_unsigned(less));
}

// SAFETY: it is the system's allocator, which is asked for the same and whose answer is passed on.
// The count is a thread local without a destructor, made at compile time: it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }
}
