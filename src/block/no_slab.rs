//! `slab.rs` for systems that are not asked for large pages.

use std::{ops::Deref, sync::Arc};

/// Where the next constants go.
#[derive(Debug, Default)]
pub struct Slab;

/// Values that stay as long as anyone has them.
#[derive(Debug, Clone)]
pub struct Packed(Arc<[f32]>);

impl Slab {
    /// Keeps values.
    pub(crate) fn keep(&mut self, values: &[f32]) -> Packed {
        Packed(values.into())
    }
}

/// As in `slab.rs`.
impl From<Vec<f32>> for Packed {
    fn from(values: Vec<f32>) -> Self {
        Slab.keep(&values)
    }
}

impl Deref for Packed {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}
