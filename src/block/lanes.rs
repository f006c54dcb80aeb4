//! Operations on the lanes of a block, as loops that compile to vector instructions.

use super::Block;

#[inline(always)]
pub(crate) fn add(a: Block, b: Block) -> Block {
    std::array::from_fn(|l| a[l] + b[l])
}

#[inline(always)]
pub(crate) fn multiply(a: Block, b: Block) -> Block {
    std::array::from_fn(|l| a[l] * b[l])
}

/// `sum + x * w`, rounded twice: without the target feature a fused one is a call.
#[inline(always)]
pub(crate) fn multiply_add(x: Block, w: Block, sum: Block) -> Block {
    std::array::from_fn(|l| sum[l] + x[l] * w[l])
}
