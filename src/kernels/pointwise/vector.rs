//! `twin.rs` in rows of sixteen output channels, over weights that are packed so.

use super::Params;
use crate::{
    block::{Activate, Block, Residual, View, ZERO, each},
    parallel::Part,
    plan::{Call, pack::padded},
    simd::{
        self, Simd, Work,
        rows::{Bounds, Half, Source, TILE, Target, Tiles, WEIGHTS, Weights, Whole, Width, chunk, range, rest, sums, tiles, with_pixels},
    },
};
use std::{marker::PhantomData, ops::Range};

pub(crate) fn pointwise(call: Call<'_>) {
    if !simd::IS_ALL && !call.dispatch.rows() {
        return super::twin::pointwise(call);
    }
    let params: Params = call.params();
    let mean = call.define("POOL") != 0;
    let [input, weight, bias] = ["input", "weight", "bias"].map(|name| call.read(name));
    let (gate, residual) = (call.maybe("gate"), call.residual(params.residual_offset, params.residual_stride));
    let blocks = call.maybe("blocks").unwrap_or(&[]).as_flattened();
    let [pixels, blocks_in, blocks_out] = [params.pixels, params.blocks_in, params.blocks_out].map(|v| v as usize);
    let tiles = params.tiles_channel * if mean { 1 } else { params.tiles_pixel };
    let count = (params.workgroups / tiles) as usize;
    let from = View::new(params.input_offset, params.input_stride);
    let (activation, tiles) = (call.activation("ACTIVATION", bias, call.bias_len(blocks_out)), blocks_out.div_ceil(TILE));
    let layer = Layer { blocks_in, weight, bias, activation, tiles, stride: call.team.threads() };
    let (level, team) = (call.level, call.team);
    let to = View::new(params.output_offset, params.output_stride);
    let split = to.split(count, blocks_out, if mean { 1 } else { pixels }, TILE);
    let split = if mean { split } else { split.shared_by(team, TILE) };
    split.each(team, call.output, |part| {
        let n = part.image;
        let maps = Maps { input: from.image(input, n), blocks, pixels, gate: gate.map(|gate| &gate[n * blocks_in..][..blocks_in]) };
        let residual = residual.map(|residual| residual.image(n));
        level.run(Run { layer: &layer, maps, residual, mean, part });
    });
}

/// One part's work.
pub(crate) struct Run<'a> {
    pub layer: &'a Layer<'a>,
    pub maps: Maps<'a>,
    pub residual: Option<Residual<'a>>,
    pub mean: bool,
    pub part: Part<'a, Block>,
}

impl Work for Run<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { layer, maps, residual, mean, mut part } = self;
        if mean {
            let blocks = layer.mean(s, &maps, part.plane);
            (0..part.planes).for_each(|b| part.plane(0, b)[0] = blocks[b]);
        } else {
            let pixels = part.pixels;
            layer.tile(s, &maps, residual, &mut part, 0..pixels);
        }
    }
}

/// The convolution's constants, packed as rows of sixteen output lanes.
pub(crate) struct Layer<'a> {
    pub blocks_in: usize,
    pub weight: &'a [Block],
    pub bias: &'a [Block],
    pub activation: Activate<'a>,
    /// Tiles of output blocks.
    pub tiles: usize,
    /// From one tile to that which the same thread is likely to take next.
    pub stride: usize,
}

/// The input maps of one image.
#[derive(Clone, Copy)]
pub(crate) struct Maps<'a> {
    pub input: &'a [Block],
    /// Which block of the input each input block is; empty where they lie side by side.
    pub blocks: &'a [f32],
    pub pixels: usize,
    pub gate: Option<&'a [Block]>,
}

impl Layer<'_> {
    /// Some of a part's pixels.
    #[inline(always)]
    pub(crate) fn tile<S: Simd>(&self, s: S, maps: &Maps, residual: Option<Residual>, part: &mut Part<'_, Block>, pixels: Range<usize>) {
        let (block, first, planes) = (part.plane, part.first + pixels.start, part.planes);
        let count = pixels.len();
        let residual = residual.map(|residual| residual.planes([block, planes], maps.pixels, first, count));
        let mut target = Target::new(part.quad(pixels), residual, self.activation, block);
        for tiles in tiles::<S>(count) {
            let target = &mut target;
            with_pixels!(S, tiles.pixels, P => if planes > 2 {
                s.call(Pixels::<Whole, P> { layer: self, maps, block, first, tiles, target, width: PhantomData });
            } else {
                s.call(Pixels::<Half, P> { layer: self, maps, block, first, tiles, target, width: PhantomData });
            });
        }
        target.finish(s);
    }

    /// The means of four output blocks over the map.
    #[inline(always)]
    fn mean<S: Simd>(&self, s: S, maps: &Maps, block: usize) -> [Block; 4] {
        // Several sums, so that additions do not wait for each other.
        let mut totals = [[ZERO; 4]; 4];
        for tiles in tiles::<S>(maps.pixels) {
            with_pixels!(S, tiles.pixels, P => s.call(Total::<P> { layer: self, maps, block, tiles, totals: &mut totals }));
        }
        let [a, b, c, d] = &totals;
        let total = s.add(s.add(s.load(a), s.load(b)), s.add(s.load(c), s.load(d)));
        s.blocks(s.mul(total, s.splat(1.0 / maps.pixels as f32)))
    }

    /// `P` neighbouring pixels of the tile from output block `block` on, before the activation.
    #[inline(always)]
    pub(crate) fn sums<S: Simd, W: Width, const P: usize>(&self, s: S, maps: &Maps, block: usize, pixel: usize) -> [W::Row<S>; P] {
        let len = padded(self.blocks_in) * WEIGHTS;
        let (tile, used) = (block / TILE, self.blocks_in * WEIGHTS);
        let next = (tile + self.stride) * len;
        let next = if next + used <= self.tiles * len { range(self.weight, next, used) } else { &[] };
        let weights = Weights { bias: rest(self.bias, block), weight: range(self.weight, tile * len, used), next, row: pixel / P };
        sums::<S, W, P>(s, weights, maps.gate, Neighbours { maps: *maps, pixel, next: 0 })
    }
}

/// Neighbouring pixels of maps.
struct Neighbours<'a> {
    maps: Maps<'a>,
    /// The first.
    pixel: usize,
    /// The next input block.
    next: usize,
}

impl<const P: usize> Source<P> for Neighbours<'_> {
    #[inline(always)]
    fn next<'a>(&'a mut self, _: &'a mut [Block; P]) -> &'a [Block; P] {
        let Maps { input, blocks, pixels, .. } = self.maps;
        let block = if self.next < blocks.len() { blocks[self.next] as usize } else { self.next };
        self.next += 1;
        chunk(input, block * pixels + self.pixel)
    }
}

/// Tiles of `P` pixels, to be stored.
struct Pixels<'a, 't, W, const P: usize> {
    layer: &'a Layer<'a>,
    maps: &'a Maps<'a>,
    block: usize,
    /// The first pixel of what is stored.
    first: usize,
    tiles: Tiles,
    target: &'a mut Target<'t>,
    width: PhantomData<W>,
}

impl<W: Width, const P: usize> Work for Pixels<'_, '_, W, P> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for tile in 0..self.tiles.count {
            let at = self.tiles.first + tile * P;
            let sums = self.layer.sums::<S, W, P>(s, self.maps, self.block, self.first + at);
            self.target.store::<S, W, P>(s, at, sums);
        }
    }
}

/// Tiles of `P` pixels, to be added up.
struct Total<'a, const P: usize> {
    layer: &'a Layer<'a>,
    maps: &'a Maps<'a>,
    block: usize,
    tiles: Tiles,
    totals: &'a mut [[Block; 4]; 4],
}

impl<const P: usize> Work for Total<'_, P> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let bounds = Bounds::new(self.layer.activation.kind);
        for tile in 0..self.tiles.count {
            let sums = self.layer.sums::<S, Whole, P>(s, self.maps, self.block, self.tiles.first + tile * P);
            each!(pixel p < P, {
                let mut blocks = s.blocks(bounds.of(s, sums[p]));
                if !bounds.is_all() {
                    each!(b < 4, blocks[b] = self.layer.activation.of(blocks[b], self.block + b));
                }
                let total = &mut self.totals[p % 4];
                s.store(s.add(s.load(total), s.load(&blocks)), total);
            });
        }
    }
}
