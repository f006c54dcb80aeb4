//! Operations on the lanes of a block by name, in the place of `lanes.rs` in the browser package.

use super::Block;
use std::arch::wasm32::{f32x4_add, f32x4_mul, v128};

#[inline(always)]
pub(crate) fn add(a: Block, b: Block) -> Block {
    block(f32x4_add(vector(a), vector(b)))
}

#[inline(always)]
pub(crate) fn multiply(a: Block, b: Block) -> Block {
    block(f32x4_mul(vector(a), vector(b)))
}

/// `sum + x * w`, rounded twice.
#[inline(always)]
pub(crate) fn multiply_add(x: Block, w: Block, sum: Block) -> Block {
    add(sum, multiply(x, w))
}

#[inline(always)]
fn vector(block: Block) -> v128 {
    bytemuck::must_cast(block)
}

#[inline(always)]
fn block(vector: v128) -> Block {
    bytemuck::must_cast(vector)
}
