//! rayon where there are threads; where there are none, its names on plain iterators.

#[cfg_attr(target_arch = "wasm32", path = "one_thread.rs")]
mod threads;

pub(crate) use threads::*;
