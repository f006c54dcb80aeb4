//! In a browser, where there are no threads and nothing can block, the thread does all work itself:
//! in the place of `wait.rs`.

/// Whether this thread may do the work itself.
pub(crate) fn may_block() -> bool {
    true
}

/// The result of a future.
pub(crate) async fn apart_async<T, F: Future<Output = T>>(make: impl FnOnce() -> F) -> T {
    make().await
}

/// Does the work.
pub(crate) async fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}
