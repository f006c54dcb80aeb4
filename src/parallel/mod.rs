//! rayon where there are threads; where there are none, its names on plain iterators. And the
//! threads of the CPU's kernels, with what is handed out to them.

#[cfg_attr(target_arch = "wasm32", path = "one_thread.rs")]
mod threads;

mod parts;
#[cfg_attr(target_arch = "wasm32", path = "alone.rs")]
mod team;

pub(crate) use parts::{Part, Split};
pub(crate) use team::Team;
#[cfg(not(target_arch = "wasm32"))]
pub use threads::with_threads;
pub(crate) use threads::*;
