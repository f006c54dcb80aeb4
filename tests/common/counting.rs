//! The system's allocator, with counts of what a test binary asks of it.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);
static TAKEN: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn take(bytes: usize) {
    CALLS.fetch_add(1, Relaxed);
    BYTES.fetch_add(bytes, Relaxed);
    LARGEST.fetch_max(bytes, Relaxed);
    MOST.fetch_max(TAKEN.fetch_add(bytes, Relaxed) + bytes, Relaxed);
}

// SAFETY: everything is the system's allocator's; only counts are added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        TAKEN.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        TAKEN.fetch_sub(layout.size(), Relaxed);
        take(size);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What was asked for meanwhile, by any thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counts {
    pub calls: usize,
    /// Of all calls.
    pub bytes: usize,
    /// Bytes of one call.
    pub largest: usize,
    /// Bytes held at once, beyond those held before.
    pub most: usize,
}

/// What `work` asks for. Nothing else may be counted at the same time.
pub fn counted(work: impl FnOnce()) -> Counts {
    let before = TAKEN.load(Relaxed);
    MOST.store(before, Relaxed);
    for counter in [&CALLS, &BYTES, &LARGEST] {
        counter.store(0, Relaxed);
    }
    work();
    let [calls, bytes, largest, most] = [&CALLS, &BYTES, &LARGEST, &MOST].map(|counter| counter.load(Relaxed));
    Counts { calls, bytes, largest, most: most.saturating_sub(before) }
}
