//! Vectors of sixteen lanes, by whatever instructions the processor has.
//!
//! An inner loop is written once, over [`Simd`], and compiled for every [`Level`]. A row of sixteen
//! lanes is one register of AVX-512, two of AVX2, and four of SSE2, NEON and WebAssembly's simd128.
//! It holds sixteen channels of one pixel, or one block of four channels of four pixels.
//!
//! The tokens that implement [`Simd`] exist only where [`Level::run`] made them, which asks the
//! processor first. That is why their methods are safe, and why the only unsafe code of the kernels
//! is here.
//!
//! Everything down to the intrinsics has to be inlined into the function that enables the
//! instructions: hence `#[inline(always)]` on [`Work::run`] and on all that it calls. A closure
//! cannot have that attribute, so none computes with rows.

pub(crate) mod band;
#[cfg(target_arch = "aarch64")]
mod neon;
pub(crate) mod rows;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::block::Block;

/// Sixteen lanes at a time; what a level's token can do.
pub(crate) trait Simd: Copy + Send + Sync {
    /// Sixteen lanes: four blocks.
    type Row: Copy;
    /// Eight lanes: two blocks.
    type Half: Copy;

    /// Pixels whose sums of sixteen channels stay in registers, at most 14.
    const PIXELS: usize;

    /// Pixels whose sums a ghost module's cheap operation keeps in registers: 2, 4 or 8.
    const STRIP: usize;

    /// Rows of a map whose sums a depthwise convolution keeps in registers, at most 4.
    const ROWS: usize;

    /// Rows of zeros. A loop that fills an array would keep it in memory in the browser package,
    /// which is compiled for size.
    fn zeros<const N: usize>(self) -> [Self::Row; N];
    /// As [`Simd::zeros`].
    fn zeros_half<const N: usize>(self) -> [Self::Half; N];
    /// One value in all lanes.
    fn splat(self, value: f32) -> Self::Row;
    /// One block in all four places.
    fn repeat(self, block: &Block) -> Self::Row;
    /// Four blocks in a row.
    fn load(self, from: &[Block; 4]) -> Self::Row;
    /// As [`Simd::load`].
    fn store(self, row: Self::Row, to: &mut [Block; 4]);
    fn add(self, a: Self::Row, b: Self::Row) -> Self::Row;
    fn mul(self, a: Self::Row, b: Self::Row) -> Self::Row;
    /// `sum + a * b`, rounded once where the processor can.
    fn mul_add(self, a: Self::Row, b: Self::Row, sum: Self::Row) -> Self::Row;
    /// The greater; `b` where `a` is no number.
    fn max(self, a: Self::Row, b: Self::Row) -> Self::Row;
    /// The smaller; `b` where `a` is no number.
    fn min(self, a: Self::Row, b: Self::Row) -> Self::Row;
    /// The blocks of two rows at even places, and those at odd ones.
    fn parted(self, a: Self::Row, b: Self::Row) -> [Self::Row; 2];
    /// Block `j` of row `i` becomes block `i` of row `j`.
    fn transpose(self, rows: [Self::Row; 4]) -> [Self::Row; 4];

    /// As [`Simd::splat`].
    fn splat_half(self, value: f32) -> Self::Half;
    /// The first two of four blocks.
    fn load_half(self, from: &[Block; 4]) -> Self::Half;
    /// As [`Simd::mul`].
    fn mul_half(self, a: Self::Half, b: Self::Half) -> Self::Half;
    /// As [`Simd::mul_add`].
    fn mul_add_half(self, a: Self::Half, b: Self::Half, sum: Self::Half) -> Self::Half;
    /// Two blocks, then two others.
    fn join(self, low: Self::Half, high: Self::Half) -> Self::Row;
    /// Says that this will be read soon. Where there is no such instruction it does nothing.
    #[inline(always)]
    fn prefetch(self, _block: &Block) {}

    /// Does the work in a function of its own. What a loop keeps in registers is then what it
    /// needs, however many such loops there are; and two that are alike are one.
    fn call(self, work: impl Work);

    /// Does the work in a function of its own, as [`Simd::call`], but where that costs more than it
    /// gains: an engine that compiles WebAssembly does not see across calls.
    #[inline(always)]
    fn call_apart(self, work: impl Work) {
        if IS_ALL { work.run(self) } else { self.call(work) }
    }

    /// The four blocks.
    #[inline(always)]
    fn blocks(self, row: Self::Row) -> [Block; 4] {
        let mut blocks = [[0.0; 4]; 4];
        self.store(row, &mut blocks);
        blocks
    }
}

/// An inner loop that is compiled for every level.
pub(crate) trait Work {
    /// Does it. To be `#[inline(always)]`, with what it calls.
    fn run<S: Simd>(self, simd: S);
}

/// Whether there is no level but that of the vectors: the browser package has no plain loops.
pub(crate) const IS_ALL: bool = cfg!(all(target_arch = "wasm32", target_feature = "simd128"));

/// A set of instructions that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    Plain,
    #[cfg(target_arch = "x86_64")]
    Sse2,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128,
}

impl Level {
    /// All that this processor has, the best first. The last is the plain loops, which the compiler
    /// may or may not make vectors of: the others are tested against them.
    pub fn all() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let all = {
            let has_512 = is_x86_feature_detected!("avx512f");
            let has_256 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            [(has_512, Kind::Avx512), (has_256, Kind::Avx2), (true, Kind::Sse2), (true, Kind::Plain)]
        };
        #[cfg(target_arch = "aarch64")]
        let all = [(std::arch::is_aarch64_feature_detected!("neon"), Kind::Neon), (true, Kind::Plain)];
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        let all = [(true, Kind::Simd128)];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", all(target_arch = "wasm32", target_feature = "simd128"))))]
        let all = [(true, Kind::Plain)];
        all.into_iter().filter(|(has, _)| *has).map(|(_, kind)| Self(kind))
    }

    /// The best that this processor has.
    pub fn best() -> Self {
        Self::all().next().expect("plain loops at least")
    }

    /// The one of this name, if the processor has it.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|level| level.name() == name)
    }

    /// Its name: `avx512`, `avx2`, `sse2`, `neon`, `simd128` or `plain`.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
            Kind::Plain => "plain",
            #[cfg(target_arch = "x86_64")]
            Kind::Sse2 => "sse2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => "neon",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Kind::Simd128 => "simd128",
        }
    }

    /// The processor's own name, where it tells it at no cost.
    pub fn processor() -> Option<String> {
        #[cfg(target_arch = "x86_64")]
        return x86::processor();
        #[cfg(not(target_arch = "x86_64"))]
        return None;
    }

    /// Whether it is the plain loops.
    #[inline]
    pub(crate) fn is_plain(self) -> bool {
        #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
        return self.0 == Kind::Plain;
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        return false;
    }

    /// Does the work with its instructions. The plain loops have no vectors.
    #[inline]
    pub(crate) fn run(self, work: impl Work) {
        match self.0 {
            #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
            Kind::Plain => unreachable!("plain loops are functions of their own"),
            #[cfg(target_arch = "x86_64")]
            Kind::Sse2 => work.run(x86::Sse2::new()),
            // SAFETY: a level is made by `all` alone, which asks for these instructions.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { x86::avx2(work) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => unsafe { x86::avx512(work) },
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => work.run(neon::Neon::new()),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Kind::Simd128 => work.run(wasm::Simd128::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation on numbers that show which lane went where.
    struct Operations<'a>(&'a mut Vec<[Block; 4]>);

    impl Work for Operations<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let numbers = |from: i32| std::array::from_fn(|b| std::array::from_fn(|l| (from + 4 * b as i32 + l as i32) as f32));
            let [a, b, c] = [numbers(-5), numbers(3), numbers(100)].map(|blocks| s.load(&blocks));
            let rows = [0, 16, 32, 48].map(|from| s.load(&numbers(from)));
            let nan = s.splat(f32::NAN);
            let more = [s.splat(2.5), s.repeat(&[1.0, 2.0, 3.0, 4.0]), s.add(a, b), s.mul(a, b), s.mul_add(a, b, c)];
            let [even, odd] = s.parted(a, b);
            let [one, two] = [-5, 3].map(|from| s.load_half(&numbers(from)));
            let half = s.mul_add_half(one, two, s.mul_half(two, s.splat_half(2.0)));
            let more = more.into_iter().chain([
                s.join(half, one),
                even,
                odd,
                s.max(a, s.splat(0.0)),
                s.min(a, s.splat(1.0)),
                s.max(nan, b),
                s.min(nan, b),
            ]);
            self.0.extend(more.chain(s.transpose(rows)).map(|row| s.blocks(row)));
        }
    }

    #[test]
    fn every_level_computes_the_same() {
        let at = |i: usize, l: usize, from: f32| from + (4 * i + l) as f32;
        let all = |f: &dyn Fn(usize, usize) -> f32| -> [Block; 4] { std::array::from_fn(|i| std::array::from_fn(|l| f(i, l))) };
        let (a, b, c) = (-5.0, 3.0, 100.0);
        let mut wanted = vec![
            all(&|_, _| 2.5),
            all(&|_, l| l as f32 + 1.0),
            all(&|i, l| at(i, l, a) + at(i, l, b)),
            all(&|i, l| at(i, l, a) * at(i, l, b)),
            all(&|i, l| at(i, l, a) * at(i, l, b) + at(i, l, c)),
            all(&|i, l| if i < 2 { at(i, l, a) * at(i, l, b) + 2.0 * at(i, l, b) } else { at(i - 2, l, a) }),
            all(&|i, l| if i < 2 { at(2 * i, l, a) } else { at(2 * i - 4, l, b) }),
            all(&|i, l| if i < 2 { at(2 * i + 1, l, a) } else { at(2 * i - 3, l, b) }),
            all(&|i, l| at(i, l, a).max(0.0)),
            all(&|i, l| at(i, l, a).min(1.0)),
            all(&|i, l| at(i, l, b)),
            all(&|i, l| at(i, l, b)),
        ];
        wanted.extend((0..4).map(|j| all(&|i, l| (16 * i + 4 * j + l) as f32)));
        for level in Level::all().filter(|level| !level.is_plain()) {
            let mut got = Vec::new();
            level.run(Operations(&mut got));
            assert_eq!(got, wanted, "{}", level.name());
        }
    }

    #[test]
    fn levels_have_names_of_their_own() {
        let names: Vec<&str> = Level::all().map(Level::name).collect();
        for (at, name) in names.iter().enumerate() {
            assert_eq!(Level::named(name), Level::all().nth(at));
        }
        assert_eq!(Level::named(names[0]), Some(Level::best()));
        assert_eq!(Level::named("mmx"), None);
    }
}
