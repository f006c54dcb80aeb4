//! Arithmetic on blocks of four channels, and how the work on them is split. It is to the twins
//! what `shaders/shared/` is to the shaders.
//!
//! Loops over the lanes of a block have a constant length and no branch, so that they compile to
//! SSE2 or NEON on their own. The browser package is compiled for size, which leaves loops as they
//! are. There operations are vector instructions by name, and short loops are written out (`each!`).
//! docs/measured.md says what that gains.

#[cfg_attr(target_feature = "simd128", path = "simd128.rs")]
mod lanes;

mod buffer;
#[cfg_attr(not(target_os = "linux"), path = "no_slab.rs")]
mod slab;

pub(crate) use buffer::Buffer;
pub(crate) use lanes::{add, multiply, multiply_add};
pub use slab::{Packed, Slab};

use crate::parallel::*;

/// Four channels of one pixel, or four lanes of a weight row.
pub(crate) type Block = [f32; 4];

pub(crate) const ZERO: Block = [0.0; 4];

/// Pixels that share each load of a weight. With two output blocks that is eight sums, which leaves
/// half of SSE2's sixteen registers.
pub(crate) const PIXELS: usize = 4;

/// Output blocks that share each load of an input.
const PAIR: usize = 2;

/// Pixels of the longest run that is not split between threads.
const RUN: usize = 512;

/// One value in all lanes.
#[inline(always)]
pub(crate) fn splat(v: f32) -> Block {
    // `[v; 4]` is a loop in the browser package.
    [v, v, v, v]
}

#[inline(always)]
pub(crate) fn scale(a: Block, by: f32) -> Block {
    a.map(|v| v * by)
}

/// `$body` for each `$i` below `$n`, which is at most 5, written out. The browser package is
/// compiled for size, and keeps loops as loops, and what a loop counts through in memory.
macro_rules! each {
    ($i:ident < $n:expr, $body:expr) => {{
        const { assert!($n <= 5) };
        each!(@ $i < $n, $body, 0 1 2 3 4);
    }};
    // As many as a tile has pixels: at most 16.
    (pixel $i:ident < $n:expr, $body:expr) => {{
        const { assert!($n <= 16) };
        each!(@ $i < $n, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    }};
    (@ $i:ident < $n:expr, $body:expr, $($at:literal)*) => {
        // In a block of its own the condition is known before there is code to be made, but not
        // before lints look at it.
        $(if const { $at < $n } {
            #[allow(unconditional_panic)]
            {
                let $i = $at;
                $body;
            }
        })*
    };
}
pub(crate) use each;

/// Where the weights of a tile's input block lie, as rows of four output lanes.
#[derive(Clone, Copy)]
pub(crate) struct Steps {
    /// From one input lane to the next.
    pub lane: usize,
    /// From one output block to the next.
    pub block: usize,
}

impl Steps {
    /// Of tiles of so many output blocks, packed in rows of all their lanes or by matrices.
    pub(crate) fn new(tile: usize, rows: bool) -> Self {
        if rows { Self { lane: tile, block: 1 } } else { Self { lane: 1, block: 4 } }
    }
}

/// Adds the products of `P` pixels' input blocks and `B` 4 x 4 matrices, given as rows of four
/// output lanes.
#[inline(always)]
pub(crate) fn matrices<const P: usize, const B: usize>(sums: &mut [[Block; B]; P], x: [Block; P], weight: &[Block], steps: Steps) {
    each!(lane < 4, {
        each!(b < B, {
            let row = weight[b * steps.block + lane * steps.lane];
            each!(p < P, sums[p][b] = multiply_add(splat(x[p][lane]), row, sums[p][b]));
        });
    });
}

/// The sum of all blocks, in runs, so that rounding errors do not grow with the length of a map.
pub(crate) fn total(blocks: &[Block]) -> Block {
    blocks.chunks(64).map(|run| run.iter().fold(ZERO, |a, &b| add(a, b))).fold(ZERO, add)
}

/// The number of the first activation that has a parameter.
pub(crate) const WITH_PARAMETER: u32 = 16;

/// An activation by its number, with a block of its parameter for each block of channels, where it
/// has one; `shaders/shared/activation.wgsl`.
#[derive(Clone, Copy)]
pub(crate) struct Activate<'a> {
    pub kind: u32,
    pub parameter: &'a [Block],
}

impl Activate<'_> {
    /// Of a value in channel block `block`.
    #[inline(always)]
    pub(crate) fn of(self, v: Block, block: usize) -> Block {
        if self.parameter.is_empty() { activate(v, self.kind) } else { activate_by(v, self.kind, self.parameter[block]) }
    }

    /// Of all values in channel block `block`.
    pub(crate) fn all(self, values: &mut [Block], block: usize) {
        match self.parameter.get(block) {
            None => values.iter_mut().for_each(|v| *v = activate(*v, self.kind)),
            Some(&parameter) => values.iter_mut().for_each(|v| *v = activate_by(*v, self.kind, parameter)),
        }
    }
}

/// What is added to the results for all images.
#[derive(Clone, Copy)]
pub(crate) struct Residuals<'a> {
    pub blocks: &'a [Block],
    pub view: View,
    pub activation: u32,
}

impl<'a> Residuals<'a> {
    pub(crate) fn image(self, n: usize) -> Residual<'a> {
        Residual { blocks: self.view.image(self.blocks, n), activation: self.activation }
    }
}

/// What is added to results, and the number of the activation of the sums.
#[derive(Clone, Copy)]
pub(crate) struct Residual<'a> {
    pub blocks: &'a [Block],
    pub activation: u32,
}

impl Residual<'_> {
    /// `len` blocks of it.
    pub(crate) fn range(self, at: usize, len: usize) -> Self {
        Self { blocks: &self.blocks[at..][..len], ..self }
    }

    /// The sum with the block at `at`, activated.
    #[inline(always)]
    pub(crate) fn to(self, v: Block, at: usize) -> Block {
        activate(add(v, self.blocks[at]), self.activation)
    }

    /// The same for all blocks, from the first on.
    pub(crate) fn to_all(self, values: &mut [Block]) {
        values.iter_mut().enumerate().for_each(|(at, v)| *v = self.to(*v, at));
    }
}

/// What is calculated of two blocks, by its number; `shaders/elementwise.wgsl`.
pub(crate) fn calculate(op: usize, a: Block, b: Block) -> Block {
    let each = |f: fn(f32, f32) -> f32| [0, 1, 2, 3].map(|lane| f(a[lane], b[lane]));
    match op {
        0 => a,
        1 => add(a, b),
        2 => multiply(a, b),
        3 => each(|a, b| a - b),
        4 => each(|a, b| b - a),
        5 => each(|a, b| a / b),
        6 => each(|a, b| b / a),
        7 => each(f32::min),
        8 => each(f32::max),
        9 => each(f32::powf),
        10 => each(|a, b| b.powf(a)),
        _ => each(|a, b| f32::from(u8::from(a == b))),
    }
}

/// An activation with a parameter.
#[inline(always)]
pub(crate) fn activate_by(v: Block, kind: u32, parameter: Block) -> Block {
    let each = |f: fn(f32, f32) -> f32| [0, 1, 2, 3].map(|lane| f(v[lane], parameter[lane]));
    match kind {
        WITH_PARAMETER => each(|v, slope| if v > 0.0 { v } else { v * slope }),
        _ => each(|v, low| rounded(v).max(low).min(low + 255.0)),
    }
}

/// The nearest whole number, the even one of two: a number between 2^23 and 2^24 has no fraction.
/// `round_ties_even` is a call where the processor's level is not known. Far outside of 8 bits it
/// is the end of a range.
#[inline(always)]
fn rounded(v: f32) -> f32 {
    (v.clamp(-FAR, FAR) + WHOLE) - WHOLE
}

/// What numbers that are rounded are bounded by first.
pub(crate) const FAR: f32 = 4_000_000.0;

/// 1.5 * 2^23: added to a number that is not far, and subtracted, it rounds.
pub(crate) const WHOLE: f32 = 12_582_912.0;

/// An activation by its number.
#[inline(always)]
pub(crate) fn activate(v: Block, kind: u32) -> Block {
    match kind {
        0 => v,
        // Not f32::max, whose care for NaN costs three more instructions.
        1 => v.map(|x| if x > 0.0 { x } else { 0.0 }),
        _ => activate_rarely(v, kind),
    }
}

/// The activations that GhostNet has on small maps only, which are not copied into each loop.
#[inline(never)]
fn activate_rarely(v: Block, kind: u32) -> Block {
    let hard_sigmoid = |x: f32| (x + 3.0).clamp(0.0, 6.0) / 6.0;
    match kind {
        2 => v.map(|x| x.clamp(0.0, 6.0)),
        3 => v.map(hard_sigmoid),
        4 => v.map(|x| x * hard_sigmoid(x)),
        5 => v.map(|x| 1.0 / (1.0 + (-x).exp())),
        6 => v.map(|x| x / (1.0 + (-x).exp())),
        7 => v.map(|x| 2.0 / (1.0 + (-2.0 * x).exp()) - 1.0),
        8 => v.map(f32::exp),
        9 => v.map(f32::sqrt),
        10 => v.map(f32::abs),
        11 => v.map(erf),
        12 => v.map(|x| 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))),
        _ => v,
    }
}

/// Abramowitz and Stegun, 7.1.26: off by at most 1.5e-7.
fn erf(v: f32) -> f32 {
    let x = v.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let p = ((((1.061_405_4 * t - 1.453_152) * t + 1.421_413_7) * t - 0.284_496_74) * t + 0.254_829_6) * t;
    (1.0 - p * (-x * x).exp()).copysign(v)
}

/// A tensor's place in its buffer.
#[derive(Clone, Copy)]
pub(crate) struct View {
    pub offset: usize,
    pub stride: usize,
}

impl View {
    pub(crate) fn new(offset: u32, stride: u32) -> Self {
        Self { offset: offset as usize, stride: stride as usize }
    }

    /// Image `n`, and what follows it.
    pub(crate) fn image(self, buffer: &[Block], n: usize) -> &[Block] {
        &buffer[self.offset + n * self.stride..]
    }

    /// The images, cut for threads: of so many planes of `pixels` pixels, `tile` planes a part.
    pub(crate) fn split(self, images: usize, planes: usize, pixels: usize, tile: usize) -> Split {
        let Self { offset, stride } = self;
        Split { offset, stride, images, groups: 1, group: planes * pixels, planes, pixels, tile, run: pixels }
    }

    /// The images, of `len` blocks each.
    pub(crate) fn images(self, buffer: &mut [Block], count: usize, len: usize) -> impl IndexedParallelIterator<Item = &mut [Block]> {
        buffer[self.offset..].par_chunks_mut(self.stride).take(count).map(move |image| &mut image[..len])
    }
}

/// Splits the output of a convolution that is packed in tiles of `tile` blocks. `work` gets runs of
/// pixels of one block or two of the same tile: their first block, their first pixel, and the run
/// in each block's plane.
pub(crate) fn for_each_run(image: &mut [Block], pixels: usize, tile: usize, work: impl Fn(usize, usize, &mut [&mut [Block]]) + Sync) {
    image.par_chunks_mut(tile * pixels).enumerate().for_each(|(at, planes)| {
        planes.par_chunks_mut(PAIR * pixels).enumerate().for_each(|(pair, planes)| {
            let (one, two) = planes.split_at_mut(pixels);
            halve(at * tile + pair * PAIR, 0, one, two, &work);
        });
    });
}

fn halve(block: usize, first: usize, one: &mut [Block], two: &mut [Block], work: &(impl Fn(usize, usize, &mut [&mut [Block]]) + Sync)) {
    if one.len() > RUN {
        let half = (one.len() / 2).next_multiple_of(PIXELS);
        let (one_low, one_high) = one.split_at_mut(half);
        let (two_low, two_high) = if two.is_empty() { (two, &mut [][..]) } else { two.split_at_mut(half) };
        join(|| halve(block, first, one_low, two_low, work), || halve(block, first + half, one_high, two_high, work));
    } else if two.is_empty() {
        work(block, first, &mut [one]);
    } else {
        work(block, first, &mut [one, two]);
    }
}

/// Rows of maps of `width` that one thread takes at a time.
pub(crate) fn rows_of_a_run(width: usize) -> usize {
    (RUN / width).max(1)
}
