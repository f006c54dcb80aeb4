//! Inner loops over rows of sixteen lanes that several kernels share: sums of sixteen output
//! channels of a few pixels, and how they are stored.

use super::{IS_ALL, Simd, Work};
use crate::block::{Activate, Block, FAR, Residual, WHOLE, WITH_PARAMETER, ZERO, activate_by, add, each};

/// Output blocks of a tile: the lanes of a row.
pub(crate) const TILE: usize = 4;

/// Blocks of weights that a tile has for an input block: a row for each of its lanes.
pub(crate) const WEIGHTS: usize = 4 * TILE;

/// `N` values from `at` on.
///
/// It is written out, for the browser package is compiled for size: a range as an index is a call
/// there, as is what looks for the first `N`, and no vector stays in a register across a call. So
/// are most iterators but those of ranges and slices, and what takes a closure.
#[inline(always)]
pub(crate) fn chunk<T, const N: usize>(values: &[T], at: usize) -> &[T; N] {
    assert!(at <= values.len() && values.len() - at >= N);
    // SAFETY: so many are there, as asserted.
    unsafe { &*values.as_ptr().add(at).cast() }
}

/// As [`chunk`], to be written.
#[inline(always)]
pub(crate) fn chunk_mut<T, const N: usize>(values: &mut [T], at: usize) -> &mut [T; N] {
    assert!(at <= values.len() && values.len() - at >= N);
    // SAFETY: as in `chunk`.
    unsafe { &mut *values.as_mut_ptr().add(at).cast() }
}

/// `len` values from `at` on; as to why, see [`chunk`].
#[inline(always)]
pub(crate) fn range<T>(values: &[T], at: usize, len: usize) -> &[T] {
    assert!(at <= values.len() && values.len() - at >= len);
    // SAFETY: so many are there, as asserted.
    unsafe { std::slice::from_raw_parts(values.as_ptr().add(at), len) }
}

/// All values from `at` on; as to why, see [`chunk`].
#[inline(always)]
pub(crate) fn rest<T>(values: &[T], at: usize) -> &[T] {
    assert!(at <= values.len());
    range(values, at, values.len() - at)
}

/// Four blocks from `at` on.
#[inline(always)]
pub(crate) fn quad(blocks: &[Block], at: usize) -> &[Block; 4] {
    chunk(blocks, at)
}

/// As [`quad`], to be written.
#[inline(always)]
pub(crate) fn quad_mut(blocks: &mut [Block], at: usize) -> &mut [Block; 4] {
    chunk_mut(blocks, at)
}

/// `$body` with a constant `$n`, which is `$count`: from 1 to the level's pixels.
macro_rules! with_pixels {
    ($s:ty, $count:expr, $n:ident => $body:expr) => {
        with_pixels!(@ $s, $count, $n => $body, 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
    };
    (@ $s:ty, $count:expr, $n:ident => $body:expr, $($number:literal)*) => {
        match $count {
            $($number if const { $number <= <$s>::PIXELS } => {
                const $n: usize = $number;
                $body
            })*
            _ => unreachable!("more pixels than a tile has"),
        }
    };
}
pub(crate) use with_pixels;

/// Tiles of equal size, side by side.
#[derive(Clone, Copy)]
pub(crate) struct Tiles {
    /// The first pixel.
    pub first: usize,
    /// Pixels of each.
    pub pixels: usize,
    /// How many tiles.
    pub count: usize,
}

/// Cuts pixels into tiles that are nearly equal, so that none is left with few sums, each of which
/// waits for the last. They are of whole quads, which are stored faster, where a level has so many
/// pixels.
#[inline(always)]
pub(crate) fn tiles<S: Simd>(pixels: usize) -> impl Iterator<Item = Tiles> {
    let unit = if S::PIXELS.is_multiple_of(4) { 4 } else { 1 };
    let units = pixels.div_ceil(unit);
    let count = units.div_ceil(S::PIXELS / unit).max(1);
    let (each, more) = (units / count, units % count);
    // Some have a unit more; the last may lack some pixels of its last unit.
    let lacking = usize::from(units * unit > pixels);
    let sizes = [(more.min(count - lacking), each + 1), ((count - lacking).saturating_sub(more), each)];
    let mut first = 0;
    let whole = sizes.map(|(count, units)| {
        let tiles = Tiles { first, pixels: units * unit, count };
        first += count * units * unit;
        tiles
    });
    let last = Tiles { first, pixels: pixels - first, count: lacking };
    whole.into_iter().chain([last]).filter(|tiles| tiles.count * tiles.pixels > 0)
}

/// How many of a tile's channels are summed up: a tile's second half may not be there.
pub(crate) trait Width {
    type Row<S: Simd>: Copy;
    fn zeros<S: Simd, const N: usize>(s: S) -> [Self::Row<S>; N];
    fn splat<S: Simd>(s: S, value: f32) -> Self::Row<S>;
    fn load<S: Simd>(s: S, from: &[Block; 4]) -> Self::Row<S>;
    fn mul<S: Simd>(s: S, a: Self::Row<S>, b: Self::Row<S>) -> Self::Row<S>;
    fn mul_add<S: Simd>(s: S, a: Self::Row<S>, b: Self::Row<S>, sum: Self::Row<S>) -> Self::Row<S>;
    /// The row, with anything in the places of blocks that are not there.
    fn whole<S: Simd>(s: S, row: Self::Row<S>) -> S::Row;
    /// Four pixels of each block, as [`Simd::transpose`].
    fn planes<S: Simd>(s: S, rows: [Self::Row<S>; 4]) -> [S::Row; 4];
}

/// All sixteen channels.
pub(crate) struct Whole;

impl Width for Whole {
    type Row<S: Simd> = S::Row;

    #[inline(always)]
    fn zeros<S: Simd, const N: usize>(s: S) -> [S::Row; N] {
        s.zeros()
    }

    #[inline(always)]
    fn splat<S: Simd>(s: S, value: f32) -> S::Row {
        s.splat(value)
    }

    #[inline(always)]
    fn load<S: Simd>(s: S, from: &[Block; 4]) -> S::Row {
        s.load(from)
    }

    #[inline(always)]
    fn mul<S: Simd>(s: S, a: S::Row, b: S::Row) -> S::Row {
        s.mul(a, b)
    }

    #[inline(always)]
    fn mul_add<S: Simd>(s: S, a: S::Row, b: S::Row, sum: S::Row) -> S::Row {
        s.mul_add(a, b, sum)
    }

    #[inline(always)]
    fn whole<S: Simd>(_: S, row: S::Row) -> S::Row {
        row
    }

    #[inline(always)]
    fn planes<S: Simd>(s: S, rows: [S::Row; 4]) -> [S::Row; 4] {
        s.transpose(rows)
    }
}

/// The first eight channels.
pub(crate) struct Half;

impl Width for Half {
    type Row<S: Simd> = S::Half;

    #[inline(always)]
    fn zeros<S: Simd, const N: usize>(s: S) -> [S::Half; N] {
        s.zeros_half()
    }

    #[inline(always)]
    fn splat<S: Simd>(s: S, value: f32) -> S::Half {
        s.splat_half(value)
    }

    #[inline(always)]
    fn load<S: Simd>(s: S, from: &[Block; 4]) -> S::Half {
        s.load_half(from)
    }

    #[inline(always)]
    fn mul<S: Simd>(s: S, a: S::Half, b: S::Half) -> S::Half {
        s.mul_half(a, b)
    }

    #[inline(always)]
    fn mul_add<S: Simd>(s: S, a: S::Half, b: S::Half, sum: S::Half) -> S::Half {
        s.mul_add_half(a, b, sum)
    }

    #[inline(always)]
    fn whole<S: Simd>(s: S, row: S::Half) -> S::Row {
        s.join(row, row)
    }

    #[inline(always)]
    fn planes<S: Simd>(s: S, [a, b, c, d]: [S::Half; 4]) -> [S::Row; 4] {
        let [first, second] = s.parted(s.join(a, b), s.join(c, d));
        [first, second, first, second]
    }
}

/// Adds the products of `P` pixels' input blocks and the weights of one input block, of which the
/// first `depth` lanes are in use.
#[inline(always)]
pub(crate) fn accumulate<S: Simd, W: Width, const P: usize>(
    s: S,
    sums: &mut [W::Row<S>; P],
    x: &[Block; P],
    weight: &[Block; WEIGHTS],
    gate: Option<&Block>,
    depth: usize,
) {
    if IS_ALL {
        // A loop, so that the engine's compiler has one lane's numbers in registers at a time.
        for lane in 0..depth.min(4) {
            add_lane::<S, W, P>(s, sums, x, weight, gate, lane);
        }
    } else {
        each!(lane < 4, {
            if lane < depth {
                add_lane::<S, W, P>(s, sums, x, weight, gate, lane);
            }
        });
    }
}

#[inline(always)]
fn add_lane<S: Simd, W: Width, const P: usize>(
    s: S,
    sums: &mut [W::Row<S>; P],
    x: &[Block; P],
    weight: &[Block; WEIGHTS],
    gate: Option<&Block>,
    lane: usize,
) {
    let mut row = W::load(s, quad(weight, lane * TILE));
    if let Some(gate) = gate {
        row = W::mul(s, row, W::splat(s, gate[lane]));
    }
    each!(pixel p < P, sums[p] = W::mul_add(s, W::splat(s, x[p][lane]), row, sums[p]));
}

/// A tile's weights.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    pub bias: &'a [Block],
    pub weight: &'a [Block],
    /// Those that are read next, or none. They come from far away, so each turn of the loop calls
    /// for some.
    pub next: &'a [Block],
    /// Which of four rows a turn calls for: another for each few pixels.
    pub row: usize,
}

/// Where sums come from.
pub(crate) trait Source<const P: usize> {
    /// The `P` pixels of the next input block; `aside` is room for those that do not lie side by
    /// side.
    fn next<'a>(&'a mut self, aside: &'a mut [Block; P]) -> &'a [Block; P];
}

/// The sums of `P` pixels over all input blocks.
#[inline(always)]
pub(crate) fn sums<S: Simd, W: Width, const P: usize>(
    s: S,
    weights: Weights<'_>,
    gate: Option<&[Block]>,
    mut source: impl Source<P>,
) -> [W::Row<S>; P] {
    let Weights { bias, weight, next, row } = weights;
    let mut sums = filled::<S, W, P>(s, W::load(s, quad(bias, 0)));
    let mut aside = [ZERO; P];
    let (weight, _) = weight.as_chunks::<WEIGHTS>();
    match gate {
        Some(gate) => {
            for (i, weight) in weight.iter().enumerate() {
                ahead(s, next, i, row);
                accumulate::<S, W, P>(s, &mut sums, source.next(&mut aside), weight, Some(&gate[i]), 4);
            }
        }
        None => {
            for (i, weight) in weight.iter().enumerate() {
                ahead(s, next, i, row);
                accumulate::<S, W, P>(s, &mut sums, source.next(&mut aside), weight, None, 4);
            }
        }
    }
    sums
}

/// Says that some of the weights that are read next will be, in the `i`th turn.
#[inline(always)]
fn ahead<S: Simd>(s: S, next: &[Block], i: usize, row: usize) {
    let at = i * WEIGHTS + row % 4 * TILE;
    if at < next.len() {
        s.prefetch(&next[at]);
    }
}

/// The same row `P` times.
#[inline(always)]
pub(crate) fn filled<S: Simd, W: Width, const P: usize>(s: S, row: W::Row<S>) -> [W::Row<S>; P] {
    let mut rows = W::zeros::<S, P>(s);
    each!(pixel p < P, rows[p] = row);
    rows
}

/// What an activation does to rows. Most only bound them.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    low: f32,
    high: f32,
    /// Whether the activation is applied afterwards, in plain code: a call among sums in registers
    /// would have all of them stored.
    is_later: bool,
}

impl Bounds {
    /// Of an activation by its number.
    pub(crate) fn new(activation: u32) -> Self {
        let (low, high) = match activation {
            1 => (0.0, f32::INFINITY),
            2 => (0.0, 6.0),
            _ => (f32::NEG_INFINITY, f32::INFINITY),
        };
        Self { low, high, is_later: activation > 2 }
    }

    /// The row between the bounds.
    #[inline(always)]
    pub(crate) fn of<S: Simd>(self, s: S, row: S::Row) -> S::Row {
        s.min(s.splat(self.high), s.max(s.splat(self.low), row))
    }

    /// Whether nothing is left to be done by [`Activate::finish`].
    pub(crate) fn is_all(self) -> bool {
        !self.is_later
    }
}

impl Activate<'_> {
    /// Does what bounds leave to be done with values in channel block `block`, and adds a tensor.
    #[inline(never)]
    pub(crate) fn finish<S: Simd>(self, s: S, blocks: &mut [Block], block: usize, residual: Option<Residual<'_>>) {
        match self.parameter.get(block) {
            Some(parameter) => s.call(WithParameter { kind: self.kind, parameter, blocks: &mut *blocks }),
            None => self.all(blocks, block),
        }
        if let Some(residual) = residual {
            residual.to_all(blocks);
        }
    }
}

/// An activation with a parameter, of all values of a channel block.
struct WithParameter<'a> {
    kind: u32,
    parameter: &'a Block,
    blocks: &'a mut [Block],
}

impl Work for WithParameter<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { kind, parameter, blocks } = self;
        let row = s.repeat(parameter);
        let (quads, rest) = blocks.as_chunks_mut::<4>();
        if kind == WITH_PARAMETER {
            let zero = s.splat(0.0);
            for quad in quads {
                let v = s.load(quad);
                s.store(s.mul_add(s.min(zero, v), row, s.max(zero, v)), quad);
            }
        } else {
            let [near, far] = [-FAR, FAR].map(|v| s.splat(v));
            let [whole, back] = [WHOLE, -WHOLE].map(|v| s.splat(v));
            let high = s.add(row, s.splat(255.0));
            for quad in quads {
                let v = s.min(s.max(s.load(quad), near), far);
                let v = s.add(s.add(v, whole), back);
                s.store(s.min(high, s.max(row, v)), quad);
            }
        }
        rest.iter_mut().for_each(|v| *v = activate_by(*v, kind, *parameter));
    }
}

/// A residual whose sums are bounded in registers.
#[derive(Clone, Copy)]
struct Added<'a> {
    residual: Residual<'a>,
    bounds: Bounds,
}

impl<'a> Added<'a> {
    fn new(residual: Residual<'a>) -> Self {
        Self { residual, bounds: Bounds::new(residual.activation) }
    }

    /// A row's sum with the four blocks from `at` on.
    #[inline(always)]
    fn to<S: Simd>(self, s: S, row: S::Row, at: usize) -> S::Row {
        self.bounds.of(s, s.add(row, s.load(quad(self.residual.blocks, at))))
    }
}

/// Where sums are stored: a run of pixels of up to four planes, and what is added to them.
pub(crate) struct Target<'a> {
    planes: [&'a mut [Block]; 4],
    residual: Option<[Residual<'a>; 4]>,
    bounds: Bounds,
    activation: Activate<'a>,
    /// The block of the first plane.
    block: usize,
}

impl<'a> Target<'a> {
    /// Planes that are not there are empty. The residual has the same pixels of the same planes.
    pub(crate) fn new(planes: [&'a mut [Block]; 4], residual: Option<[Residual<'a>; 4]>, activation: Activate<'a>, block: usize) -> Self {
        Self { planes, residual, bounds: Bounds::new(activation.kind), activation, block }
    }

    /// Stores the sums of `P` pixels from `at` on.
    #[inline(always)]
    pub(crate) fn store<S: Simd, W: Width, const P: usize>(&mut self, s: S, at: usize, sums: [W::Row<S>; P]) {
        if const { P >= 4 } {
            let none = s.zeros::<4>();
            // Four are in use; `each!` writes out five.
            let mut quads = [none; 5];
            each!(q < P / 4, quads[q] = W::planes(s, [sums[q * 4], sums[q * 4 + 1], sums[q * 4 + 2], sums[q * 4 + 3]]));
            each!(b < 4, self.quads::<S, P>(s, b, at, [quads[0][b], quads[1][b], quads[2][b], quads[3][b]]));
        }
        each!(r < P % 4, {
            let p = P / 4 * 4 + r;
            let blocks = s.blocks(self.bounds.of(s, W::whole(s, sums[p])));
            each!(b < 4, self.pixel(b, at + p, blocks[b]));
        });
    }

    /// All whole quads of `P` pixels of a plane, if it is there.
    #[inline(always)]
    fn quads<S: Simd, const P: usize>(&mut self, s: S, plane: usize, at: usize, rows: [S::Row; 4]) {
        let Self { planes, residual, bounds, .. } = self;
        if planes[plane].is_empty() {
            return;
        }
        let out = chunk_mut::<Block, P>(planes[plane], at);
        match residual {
            Some(residual) if bounds.is_all() => {
                let Residual { blocks, activation } = residual[plane];
                let added = Added::new(Residual { blocks: chunk::<Block, P>(blocks, at), activation });
                each!(q < P / 4, s.store(added.to(s, bounds.of(s, rows[q]), q * 4), quad_mut(out, q * 4)));
            }
            _ => each!(q < P / 4, s.store(bounds.of(s, rows[q]), quad_mut(out, q * 4))),
        }
    }

    /// One pixel of a plane, if it is there.
    #[inline(always)]
    fn pixel(&mut self, plane: usize, at: usize, block: Block) {
        if !self.planes[plane].is_empty() {
            self.planes[plane][at] = match &self.residual {
                Some(residual) if self.bounds.is_all() => residual[plane].to(block, at),
                _ => block,
            };
        }
    }

    /// Does what is left to do once all is stored.
    #[inline(always)]
    pub(crate) fn finish<S: Simd>(self, s: S) {
        if !self.bounds.is_all() {
            for (b, plane) in self.planes.into_iter().enumerate().filter(|(_, plane)| !plane.is_empty()) {
                self.activation.finish(s, plane, self.block + b, self.residual.map(|residual| residual[b]));
            }
        }
    }
}

impl Residual<'_> {
    /// Of up to four planes of `pixels`, from `block` on: the same `len` blocks from `first` on.
    pub(crate) fn planes(self, [block, planes]: [usize; 2], pixels: usize, first: usize, len: usize) -> [Self; 4] {
        std::array::from_fn(|b| if b < planes { self.range((block + b) * pixels + first, len) } else { self.range(0, 0) })
    }
}

/// The sum of all blocks.
#[inline(always)]
pub(crate) fn total<S: Simd>(s: S, blocks: &[Block]) -> Block {
    let (quads, rest) = blocks.as_chunks::<4>();
    let mut sum = s.splat(0.0);
    for quad in quads {
        sum = s.add(sum, s.load(quad));
    }
    s.blocks(sum).iter().chain(rest).fold(ZERO, |sum, &block| add(sum, block))
}

/// Copies a run of blocks. The last four overlap others rather than to be fewer.
#[inline(always)]
pub(crate) fn copy<S: Simd>(s: S, from: &[Block], to: &mut [Block]) {
    let len = from.len().min(to.len());
    let (from, to) = (&from[..len], &mut to[..len]);
    if len < 4 {
        to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
        return;
    }
    for at in 0..len / 4 {
        s.store(s.load(quad(from, at * 4)), quad_mut(to, at * 4));
    }
    s.store(s.load(quad(from, len - 4)), quad_mut(to, len - 4));
}

/// Adds a residual to a run of blocks.
#[inline(always)]
pub(crate) fn add_to<S: Simd>(s: S, to: &mut [Block], residual: Residual<'_>) {
    let added = Added::new(residual);
    let (quads, rest) = to.as_chunks_mut::<4>();
    let first = quads.len() * 4;
    for (at, quad) in quads.iter_mut().enumerate() {
        s.store(added.to(s, s.load(quad), at * 4), quad);
    }
    for (at, block) in rest.iter_mut().enumerate() {
        *block = residual.to(*block, first + at);
    }
}

/// One pixel's sums of a tile, of a matrix that is read once: each lane of the input has a sum of
/// its own, so that none waits for another.
#[inline(always)]
pub(crate) fn row<S: Simd>(s: S, bias: &[Block], weight: &[Block], x: &[Block]) -> S::Row {
    let mut sums = s.zeros::<4>();
    let (weight, _) = weight.as_chunks::<WEIGHTS>();
    for i in 0..weight.len().min(x.len()) {
        let (rows, x) = (&weight[i], &x[i]);
        // A memory page ahead, which the processor itself does not look across.
        if i + 16 < weight.len() {
            each!(row < 4, s.prefetch(&weight[i + 16][row * TILE]));
        }
        each!(lane < 4, sums[lane] = s.mul_add(s.splat(x[lane]), s.load(quad(rows, lane * TILE)), sums[lane]));
    }
    s.add(s.load(quad(bias, 0)), s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Level, Work};

    struct Cut;

    impl Work for Cut {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            for pixels in 0..600 {
                let mut next = 0;
                for Tiles { first, pixels, count } in tiles::<S>(pixels) {
                    assert_eq!(first, next);
                    assert!((1..=S::PIXELS).contains(&pixels));
                    next += pixels * count;
                }
                assert_eq!(next, pixels);
            }
        }
    }

    #[test]
    fn tiles_are_all_pixels_once() {
        Level::all().filter(|level| !level.is_plain()).for_each(|level| level.run(Cut));
    }
}
