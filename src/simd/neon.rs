//! NEON, which every 64-bit Arm processor has.

use super::{Simd, Work};
use crate::block::Block;
use std::arch::aarch64::*;

/// A row in four registers of thirty-two.
#[derive(Clone, Copy)]
pub(super) struct Neon(());

impl Neon {
    pub(super) fn new() -> Self {
        Self(())
    }
}

/// An operation on the four registers of each operand.
macro_rules! each_register {
    ($f:ident($($row:expr),*)) => {
        unsafe { [$f($($row[0]),*), $f($($row[1]),*), $f($($row[2]),*), $f($($row[3]),*)] }
    };
}

// SAFETY, of all blocks here: every processor that this is compiled for has NEON, and the pointers
// are of references to as many values as are read or written.
impl Simd for Neon {
    type Row = [float32x4_t; 4];
    type Half = [float32x4_t; 2];
    const STRIP: usize = 4;
    const PIXELS: usize = 6;
    const ROWS: usize = 4;

    #[inline(never)]
    fn call(self, work: impl Work) {
        work.run(self);
    }

    #[inline(always)]
    fn zeros<const N: usize>(self) -> [Self::Row; N] {
        [self.splat(0.0); N]
    }

    #[inline(always)]
    fn zeros_half<const N: usize>(self) -> [Self::Half; N] {
        [self.splat_half(0.0); N]
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Row {
        unsafe { [vdupq_n_f32(value); 4] }
    }

    #[inline(always)]
    fn repeat(self, block: &Block) -> Self::Row {
        unsafe { [vld1q_f32(block.as_ptr()); 4] }
    }

    #[inline(always)]
    fn load(self, [a, b, c, d]: &[Block; 4]) -> Self::Row {
        unsafe { [vld1q_f32(a.as_ptr()), vld1q_f32(b.as_ptr()), vld1q_f32(c.as_ptr()), vld1q_f32(d.as_ptr())] }
    }

    #[inline(always)]
    fn store(self, row: Self::Row, [a, b, c, d]: &mut [Block; 4]) {
        unsafe {
            vst1q_f32(a.as_mut_ptr(), row[0]);
            vst1q_f32(b.as_mut_ptr(), row[1]);
            vst1q_f32(c.as_mut_ptr(), row[2]);
            vst1q_f32(d.as_mut_ptr(), row[3]);
        }
    }

    #[inline(always)]
    fn add(self, a: Self::Row, b: Self::Row) -> Self::Row {
        each_register!(vaddq_f32(a, b))
    }

    #[inline(always)]
    fn mul(self, a: Self::Row, b: Self::Row) -> Self::Row {
        each_register!(vmulq_f32(a, b))
    }

    #[inline(always)]
    fn mul_add(self, a: Self::Row, b: Self::Row, sum: Self::Row) -> Self::Row {
        each_register!(vfmaq_f32(sum, a, b))
    }

    // Of a number and none, these take the number.
    #[inline(always)]
    fn max(self, a: Self::Row, b: Self::Row) -> Self::Row {
        each_register!(vmaxnmq_f32(a, b))
    }

    #[inline(always)]
    fn min(self, a: Self::Row, b: Self::Row) -> Self::Row {
        each_register!(vminnmq_f32(a, b))
    }

    #[inline(always)]
    fn splat_half(self, value: f32) -> Self::Half {
        unsafe { [vdupq_n_f32(value); 2] }
    }

    #[inline(always)]
    fn load_half(self, [a, b, ..]: &[Block; 4]) -> Self::Half {
        unsafe { [vld1q_f32(a.as_ptr()), vld1q_f32(b.as_ptr())] }
    }

    #[inline(always)]
    fn mul_half(self, a: Self::Half, b: Self::Half) -> Self::Half {
        unsafe { [vmulq_f32(a[0], b[0]), vmulq_f32(a[1], b[1])] }
    }

    #[inline(always)]
    fn mul_add_half(self, a: Self::Half, b: Self::Half, sum: Self::Half) -> Self::Half {
        unsafe { [vfmaq_f32(sum[0], a[0], b[0]), vfmaq_f32(sum[1], a[1], b[1])] }
    }

    #[inline(always)]
    fn join(self, low: Self::Half, high: Self::Half) -> Self::Row {
        [low[0], low[1], high[0], high[1]]
    }

    #[inline(always)]
    fn parted(self, a: Self::Row, b: Self::Row) -> [Self::Row; 2] {
        [[a[0], a[2], b[0], b[2]], [a[1], a[3], b[1], b[3]]]
    }

    #[inline(always)]
    fn transpose(self, [a, b, c, d]: [Self::Row; 4]) -> [Self::Row; 4] {
        [[a[0], b[0], c[0], d[0]], [a[1], b[1], c[1], d[1]], [a[2], b[2], c[2], d[2]], [a[3], b[3], c[3], d[3]]]
    }
}
