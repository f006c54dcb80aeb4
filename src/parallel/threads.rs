//! rayon.

pub(crate) use rayon::{join, prelude::*, scope};

/// What `make` makes of each key, in order; each in a thread that it may block.
pub(crate) async fn try_map<K: Sync, T: Send, E: Send>(keys: &[K], make: impl AsyncFn(&K) -> Result<T, E> + Sync) -> Result<Vec<T>, E> {
    keys.par_iter().map(|key| pollster::block_on(make(key))).collect()
}
