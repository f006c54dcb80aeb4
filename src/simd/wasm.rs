//! WebAssembly's simd128.

use super::{Simd, Work};
use crate::block::Block;
use bytemuck::Zeroable;
use std::arch::wasm32::*;

/// A row in four registers.
#[derive(Clone, Copy)]
pub(super) struct Simd128(());

impl Simd128 {
    pub(super) fn new() -> Self {
        Self(())
    }
}

/// An operation on the four registers of each operand.
macro_rules! each_register {
    ($f:ident($a:expr, $b:expr)) => {
        [$f($a[0], $b[0]), $f($a[1], $b[1]), $f($a[2], $b[2]), $f($a[3], $b[3])]
    };
}

impl Simd for Simd128 {
    type Row = [v128; 4];
    type Half = [v128; 2];
    const STRIP: usize = 2;
    const PIXELS: usize = 2;
    const ROWS: usize = 2;

    #[inline(never)]
    fn call(self, work: impl Work) {
        work.run(self);
    }

    #[inline(always)]
    fn zeros<const N: usize>(self) -> [Self::Row; N] {
        Zeroable::zeroed()
    }

    #[inline(always)]
    fn zeros_half<const N: usize>(self) -> [Self::Half; N] {
        Zeroable::zeroed()
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Row {
        let v = f32x4_splat(value);
        [v, v, v, v]
    }

    #[inline(always)]
    fn repeat(self, block: &Block) -> Self::Row {
        let v = bytemuck::must_cast(*block);
        [v, v, v, v]
    }

    #[inline(always)]
    fn load(self, [a, b, c, d]: &[Block; 4]) -> Self::Row {
        [bytemuck::must_cast(*a), bytemuck::must_cast(*b), bytemuck::must_cast(*c), bytemuck::must_cast(*d)]
    }

    #[inline(always)]
    fn store(self, row: Self::Row, [a, b, c, d]: &mut [Block; 4]) {
        *a = bytemuck::must_cast(row[0]);
        *b = bytemuck::must_cast(row[1]);
        *c = bytemuck::must_cast(row[2]);
        *d = bytemuck::must_cast(row[3]);
    }

    #[inline(always)]
    fn add(self, a: Self::Row, b: Self::Row) -> Self::Row {
        each_register!(f32x4_add(a, b))
    }

    #[inline(always)]
    fn mul(self, a: Self::Row, b: Self::Row) -> Self::Row {
        each_register!(f32x4_mul(a, b))
    }

    #[inline(always)]
    fn mul_add(self, a: Self::Row, b: Self::Row, sum: Self::Row) -> Self::Row {
        self.add(sum, self.mul(a, b))
    }

    // `pmax(b, a)` is `b < a ? a : b`, one instruction of x86; what is no number is not greater.
    #[inline(always)]
    fn max(self, a: Self::Row, b: Self::Row) -> Self::Row {
        each_register!(f32x4_pmax(b, a))
    }

    #[inline(always)]
    fn min(self, a: Self::Row, b: Self::Row) -> Self::Row {
        each_register!(f32x4_pmin(b, a))
    }

    #[inline(always)]
    fn splat_half(self, value: f32) -> Self::Half {
        let v = f32x4_splat(value);
        [v, v]
    }

    #[inline(always)]
    fn load_half(self, [a, b, ..]: &[Block; 4]) -> Self::Half {
        [bytemuck::must_cast(*a), bytemuck::must_cast(*b)]
    }

    #[inline(always)]
    fn mul_half(self, a: Self::Half, b: Self::Half) -> Self::Half {
        [f32x4_mul(a[0], b[0]), f32x4_mul(a[1], b[1])]
    }

    #[inline(always)]
    fn mul_add_half(self, a: Self::Half, b: Self::Half, sum: Self::Half) -> Self::Half {
        [f32x4_add(sum[0], f32x4_mul(a[0], b[0])), f32x4_add(sum[1], f32x4_mul(a[1], b[1]))]
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
