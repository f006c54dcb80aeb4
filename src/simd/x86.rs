//! AVX-512, AVX2 with fused multiply-add, and SSE2, which every x86-64 processor has.

use super::{Simd, Work};
use crate::block::Block;
use std::arch::x86_64::*;

/// The processor's brand, as it tells it.
#[allow(unused_unsafe)] // newer compilers know that every such processor has the instruction
pub(super) fn processor() -> Option<String> {
    // SAFETY: every x86-64 processor has the instruction.
    let leaf = |leaf| unsafe { __cpuid(leaf) };
    if leaf(0x8000_0000).eax < 0x8000_0004 {
        return None;
    }
    let words = (0x8000_0002..=0x8000_0004).map(leaf).flat_map(|part| [part.eax, part.ebx, part.ecx, part.edx]);
    let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).take_while(|&byte| byte != 0).collect();
    let name = String::from_utf8(bytes).ok()?.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    (!name.is_empty()).then_some(name)
}

/// Does the work with AVX-512.
///
/// # Safety
/// The processor has AVX-512F.
#[target_feature(enable = "avx512f,avx2,fma")]
#[inline(never)]
pub(super) unsafe fn avx512<W: Work>(work: W) {
    work.run(Avx512(()));
}

/// Does the work with AVX2.
///
/// # Safety
/// The processor has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
#[inline(never)]
pub(super) unsafe fn avx2<W: Work>(work: W) {
    work.run(Avx2(()));
}

/// A row in one register.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

// SAFETY, of all blocks here: the token was made in `avx512`, so the processor has AVX-512F, and
// the pointers are of references to as many values as are read or written.
impl Simd for Avx512 {
    type Row = __m512;
    type Half = __m256;
    const STRIP: usize = 8;
    const PIXELS: usize = 16;
    const ROWS: usize = 4;

    #[inline(always)]
    fn call(self, work: impl Work) {
        unsafe { avx512(work) }
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
    fn splat(self, value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn repeat(self, block: &Block) -> __m512 {
        unsafe { _mm512_broadcast_f32x4(_mm_loadu_ps(block.as_ptr())) }
    }

    #[inline(always)]
    fn load(self, from: &[Block; 4]) -> __m512 {
        unsafe { _mm512_loadu_ps(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(self, row: __m512, to: &mut [Block; 4]) {
        unsafe { _mm512_storeu_ps(to.as_mut_ptr().cast(), row) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, sum: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, sum) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    fn prefetch(self, block: &Block) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(block.as_ptr().cast()) }
    }

    #[inline(always)]
    fn splat_half(self, value: f32) -> __m256 {
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn load_half(self, from: &[Block; 4]) -> __m256 {
        unsafe { _mm256_loadu_ps(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn mul_half(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add_half(self, a: __m256, b: __m256, sum: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, sum) }
    }

    #[inline(always)]
    fn join(self, low: __m256, high: __m256) -> __m512 {
        unsafe {
            let (low, high) = (_mm512_castps_pd(_mm512_castps256_ps512(low)), _mm256_castps_pd(high));
            _mm512_castpd_ps(_mm512_insertf64x4::<1>(low, high))
        }
    }

    #[inline(always)]
    fn parted(self, a: __m512, b: __m512) -> [__m512; 2] {
        unsafe { [_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xDD>(a, b)] }
    }

    #[inline(always)]
    fn transpose(self, [a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
        // Halves first, then quarters.
        unsafe {
            let (ab_low, ab_high) = (_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xEE>(a, b));
            let (cd_low, cd_high) = (_mm512_shuffle_f32x4::<0x44>(c, d), _mm512_shuffle_f32x4::<0xEE>(c, d));
            [
                _mm512_shuffle_f32x4::<0x88>(ab_low, cd_low),
                _mm512_shuffle_f32x4::<0xDD>(ab_low, cd_low),
                _mm512_shuffle_f32x4::<0x88>(ab_high, cd_high),
                _mm512_shuffle_f32x4::<0xDD>(ab_high, cd_high),
            ]
        }
    }
}

/// A row in two registers.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

// SAFETY, of all blocks here: the token was made in `avx2`, so the processor has AVX2 and FMA, and
// the pointers are of references to as many values as are read or written.
impl Simd for Avx2 {
    type Row = [__m256; 2];
    type Half = __m256;
    const STRIP: usize = 4;
    const PIXELS: usize = 6;
    const ROWS: usize = 4;

    #[inline(always)]
    fn call(self, work: impl Work) {
        unsafe { avx2(work) }
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
    fn splat(self, value: f32) -> [__m256; 2] {
        unsafe { [_mm256_set1_ps(value); 2] }
    }

    #[inline(always)]
    fn repeat(self, block: &Block) -> [__m256; 2] {
        unsafe { [_mm256_broadcast_ps(&_mm_loadu_ps(block.as_ptr())); 2] }
    }

    #[inline(always)]
    fn load(self, from: &[Block; 4]) -> [__m256; 2] {
        unsafe { [_mm256_loadu_ps(from.as_ptr().cast()), _mm256_loadu_ps(from[2..].as_ptr().cast())] }
    }

    #[inline(always)]
    fn store(self, [low, high]: [__m256; 2], to: &mut [Block; 4]) {
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr().cast(), low);
            _mm256_storeu_ps(to[2..].as_mut_ptr().cast(), high);
        }
    }

    #[inline(always)]
    fn add(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        unsafe { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn mul(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn mul_add(self, a: [__m256; 2], b: [__m256; 2], sum: [__m256; 2]) -> [__m256; 2] {
        unsafe { [_mm256_fmadd_ps(a[0], b[0], sum[0]), _mm256_fmadd_ps(a[1], b[1], sum[1])] }
    }

    #[inline(always)]
    fn max(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        unsafe { [_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn min(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        unsafe { [_mm256_min_ps(a[0], b[0]), _mm256_min_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn prefetch(self, block: &Block) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(block.as_ptr().cast()) }
    }

    #[inline(always)]
    fn splat_half(self, value: f32) -> __m256 {
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn load_half(self, from: &[Block; 4]) -> __m256 {
        unsafe { _mm256_loadu_ps(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn mul_half(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add_half(self, a: __m256, b: __m256, sum: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, sum) }
    }

    #[inline(always)]
    fn join(self, low: __m256, high: __m256) -> [__m256; 2] {
        [low, high]
    }

    #[inline(always)]
    fn parted(self, a: [__m256; 2], b: [__m256; 2]) -> [[__m256; 2]; 2] {
        unsafe {
            [
                [_mm256_permute2f128_ps::<0x20>(a[0], a[1]), _mm256_permute2f128_ps::<0x20>(b[0], b[1])],
                [_mm256_permute2f128_ps::<0x31>(a[0], a[1]), _mm256_permute2f128_ps::<0x31>(b[0], b[1])],
            ]
        }
    }

    #[inline(always)]
    fn transpose(self, [a, b, c, d]: [[__m256; 2]; 4]) -> [[__m256; 2]; 4] {
        unsafe {
            [
                [_mm256_permute2f128_ps::<0x20>(a[0], b[0]), _mm256_permute2f128_ps::<0x20>(c[0], d[0])],
                [_mm256_permute2f128_ps::<0x31>(a[0], b[0]), _mm256_permute2f128_ps::<0x31>(c[0], d[0])],
                [_mm256_permute2f128_ps::<0x20>(a[1], b[1]), _mm256_permute2f128_ps::<0x20>(c[1], d[1])],
                [_mm256_permute2f128_ps::<0x31>(a[1], b[1]), _mm256_permute2f128_ps::<0x31>(c[1], d[1])],
            ]
        }
    }
}

/// A row in four registers.
#[derive(Clone, Copy)]
pub(super) struct Sse2(());

impl Sse2 {
    pub(super) fn new() -> Self {
        Self(())
    }
}

// SAFETY, of all blocks here: every x86-64 processor has SSE2, and the pointers are of references
// to as many values as are read or written.
impl Simd for Sse2 {
    type Row = [__m128; 4];
    type Half = [__m128; 2];
    const STRIP: usize = 2;
    const PIXELS: usize = 3;
    const ROWS: usize = 2;

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
    fn splat(self, value: f32) -> [__m128; 4] {
        unsafe { [_mm_set1_ps(value); 4] }
    }

    #[inline(always)]
    fn repeat(self, block: &Block) -> [__m128; 4] {
        unsafe { [_mm_loadu_ps(block.as_ptr()); 4] }
    }

    #[inline(always)]
    fn load(self, [a, b, c, d]: &[Block; 4]) -> [__m128; 4] {
        unsafe { [_mm_loadu_ps(a.as_ptr()), _mm_loadu_ps(b.as_ptr()), _mm_loadu_ps(c.as_ptr()), _mm_loadu_ps(d.as_ptr())] }
    }

    #[inline(always)]
    fn store(self, row: [__m128; 4], [a, b, c, d]: &mut [Block; 4]) {
        unsafe {
            _mm_storeu_ps(a.as_mut_ptr(), row[0]);
            _mm_storeu_ps(b.as_mut_ptr(), row[1]);
            _mm_storeu_ps(c.as_mut_ptr(), row[2]);
            _mm_storeu_ps(d.as_mut_ptr(), row[3]);
        }
    }

    #[inline(always)]
    fn add(self, a: [__m128; 4], b: [__m128; 4]) -> [__m128; 4] {
        unsafe { [_mm_add_ps(a[0], b[0]), _mm_add_ps(a[1], b[1]), _mm_add_ps(a[2], b[2]), _mm_add_ps(a[3], b[3])] }
    }

    #[inline(always)]
    fn mul(self, a: [__m128; 4], b: [__m128; 4]) -> [__m128; 4] {
        unsafe { [_mm_mul_ps(a[0], b[0]), _mm_mul_ps(a[1], b[1]), _mm_mul_ps(a[2], b[2]), _mm_mul_ps(a[3], b[3])] }
    }

    #[inline(always)]
    fn mul_add(self, a: [__m128; 4], b: [__m128; 4], sum: [__m128; 4]) -> [__m128; 4] {
        self.add(sum, self.mul(a, b))
    }

    #[inline(always)]
    fn max(self, a: [__m128; 4], b: [__m128; 4]) -> [__m128; 4] {
        unsafe { [_mm_max_ps(a[0], b[0]), _mm_max_ps(a[1], b[1]), _mm_max_ps(a[2], b[2]), _mm_max_ps(a[3], b[3])] }
    }

    #[inline(always)]
    fn min(self, a: [__m128; 4], b: [__m128; 4]) -> [__m128; 4] {
        unsafe { [_mm_min_ps(a[0], b[0]), _mm_min_ps(a[1], b[1]), _mm_min_ps(a[2], b[2]), _mm_min_ps(a[3], b[3])] }
    }

    #[inline(always)]
    fn prefetch(self, block: &Block) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(block.as_ptr().cast()) }
    }

    #[inline(always)]
    fn splat_half(self, value: f32) -> [__m128; 2] {
        unsafe { [_mm_set1_ps(value); 2] }
    }

    #[inline(always)]
    fn load_half(self, [a, b, ..]: &[Block; 4]) -> [__m128; 2] {
        unsafe { [_mm_loadu_ps(a.as_ptr()), _mm_loadu_ps(b.as_ptr())] }
    }

    #[inline(always)]
    fn mul_half(self, a: [__m128; 2], b: [__m128; 2]) -> [__m128; 2] {
        unsafe { [_mm_mul_ps(a[0], b[0]), _mm_mul_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn mul_add_half(self, a: [__m128; 2], b: [__m128; 2], sum: [__m128; 2]) -> [__m128; 2] {
        unsafe { [_mm_add_ps(sum[0], _mm_mul_ps(a[0], b[0])), _mm_add_ps(sum[1], _mm_mul_ps(a[1], b[1]))] }
    }

    #[inline(always)]
    fn join(self, low: [__m128; 2], high: [__m128; 2]) -> [__m128; 4] {
        [low[0], low[1], high[0], high[1]]
    }

    #[inline(always)]
    fn parted(self, a: [__m128; 4], b: [__m128; 4]) -> [[__m128; 4]; 2] {
        [[a[0], a[2], b[0], b[2]], [a[1], a[3], b[1], b[3]]]
    }

    #[inline(always)]
    fn transpose(self, [a, b, c, d]: [[__m128; 4]; 4]) -> [[__m128; 4]; 4] {
        [[a[0], b[0], c[0], d[0]], [a[1], b[1], c[1], d[1]], [a[2], b[2], c[2], d[2]], [a[3], b[3], c[3], d[3]]]
    }
}
