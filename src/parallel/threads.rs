//! rayon.

use rayon::{ThreadPool, ThreadPoolBuilder};
pub(crate) use rayon::{join, prelude::*};
use std::{cell::OnceCell, error::Error as _, sync::OnceLock};

/// Does `work`, in which rayon can be used: with its threads, or, where none can be started, with
/// the calling thread alone.
pub fn with_threads<T>(work: impl FnOnce() -> T) -> T {
    static THERE: OnceLock<bool> = OnceLock::new();
    // That there were threads already is an error without a cause.
    let there = THERE.get_or_init(|| match ThreadPoolBuilder::new().build_global() {
        Ok(()) => true,
        Err(error) => error.source().is_none(),
    });
    if !there {
        alone();
    }
    work()
}

/// Makes the calling thread the only one of a pool of its own, once.
fn alone() {
    thread_local! {
        static ALONE: OnceCell<Option<ThreadPool>> = const { OnceCell::new() };
    }
    ALONE.with(|alone| _ = alone.get_or_init(|| ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().ok()));
}

/// One entry into rayon's threads.
pub(crate) fn scope<T: Send>(work: impl FnOnce(()) -> T + Send) -> T {
    with_threads(|| rayon::scope(|_| work(())))
}

/// What `make` makes of each key, in order; each in a thread that it may block.
pub(crate) async fn try_map<K: Sync, T: Send, E: Send>(keys: &[K], make: impl AsyncFn(&K) -> Result<T, E> + Sync) -> Result<Vec<T>, E> {
    with_threads(|| keys.par_iter().map(|key| pollster::block_on(make(key))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_alone_does_all_the_work() {
        std::thread::spawn(|| {
            alone();
            alone();
            assert_eq!(rayon::current_num_threads(), 1);
            let own = std::thread::current().id();
            let sum: u32 = (0..1000).into_par_iter().map(|at| if std::thread::current().id() == own { at } else { 0 }).sum();
            assert_eq!(sum, 499_500);
            assert_eq!(scope(|()| join(|| 1, || 2)), (1, 2));
        })
        .join()
        .unwrap();
    }
}
