//! Who waits: a thread that called a blocking form waits itself, and an executor's never does.

use std::{
    cell::Cell,
    future::Future,
    panic,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

thread_local! {
    static MAY_BLOCK: Cell<bool> = const { Cell::new(false) };
}

/// The result of a future. What it waits for is waited for in this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let _before = Before(MAY_BLOCK.replace(true));
    pollster::block_on(future)
}

/// What held for this thread before.
struct Before(bool);

impl Drop for Before {
    fn drop(&mut self) {
        MAY_BLOCK.set(self.0);
    }
}

/// Whether this thread waits in [`block_on`], and so may do the work itself.
pub(crate) fn may_block() -> bool {
    MAY_BLOCK.get()
}

/// As [`apart`], of a future.
pub(crate) async fn apart_async<T: Send + 'static, F: Future<Output = T>>(make: impl FnOnce() -> F + Send + 'static) -> T {
    apart(move || block_on(make())).await
}

/// Does work that takes long in a thread of its own, where one can be started, else in the
/// caller's. It goes on if this is dropped.
pub(crate) async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = futures_channel::oneshot::channel();
    let left = Arc::new(Mutex::new(Some(work)));
    let own = left.clone();
    let in_thread = move || {
        MAY_BLOCK.set(true);
        if let Some(work) = taken(&own) {
            // The receiver is gone if nobody waits any more.
            let _ = sender.send(panic::catch_unwind(panic::AssertUnwindSafe(work)));
        }
    };
    let started = thread::Builder::new().name("ghostnet".into()).spawn(in_thread);
    if started.is_err()
        && let Some(work) = taken(&left)
    {
        let _before = Before(MAY_BLOCK.replace(true));
        return work();
    }
    match receiver.await.expect("a result is always sent") {
        Ok(result) => result,
        Err(panic) => panic::resume_unwind(panic),
    }
}

fn taken<T>(left: &Mutex<Option<T>>) -> Option<T> {
    left.lock().unwrap_or_else(PoisonError::into_inner).take()
}
