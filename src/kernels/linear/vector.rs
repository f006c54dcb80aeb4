//! `twin.rs` in rows of sixteen output channels. Weights are read once for all images.

use super::Params;
use crate::{
    block::{Activate, Block, View, each},
    parallel::{Part, Split},
    plan::{Call, pack::padded},
    simd::{
        self, Simd, Work,
        rows::{Source, TILE, WEIGHTS, Weights, Whole, row, sums, tiles, with_pixels},
    },
};

pub(crate) fn linear(call: Call<'_>) {
    if !simd::IS_ALL && !call.dispatch.rows() {
        return super::twin::linear(call);
    }
    let params: Params = call.params();
    let [input, weight, bias] = ["input", "weight", "bias"].map(|name| call.read(name));
    let [blocks_in, blocks_out] = [params.blocks_in, params.blocks_out].map(|v| v as usize);
    let count = (params.workgroups / params.blocks_out) as usize;
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    let matrix = Matrix { blocks_in, weight, bias, activation: call.activation("ACTIVATION", bias, call.bias_len(blocks_out)) };
    let level = call.level;
    to.of_all(count, blocks_out).each(call.team, call.output, |part| level.run(Run { matrix: &matrix, input, from, part }));
}

/// The constants of a linear layer, packed as rows of sixteen output lanes.
pub(crate) struct Matrix<'a> {
    pub blocks_in: usize,
    pub weight: &'a [Block],
    pub bias: &'a [Block],
    pub activation: Activate<'a>,
}

/// A tile's work, for all images.
pub(crate) struct Run<'a> {
    pub matrix: &'a Matrix<'a>,
    pub input: &'a [Block],
    pub from: View,
    pub part: Part<'a, Block>,
}

impl View {
    /// All images' pixels, cut into tiles: an image is a group of planes of one pixel.
    pub(crate) fn of_all(self, images: usize, planes: usize) -> Split {
        Split { images: 1, groups: images, group: self.stride, ..self.split(1, planes, 1, TILE) }
    }
}

impl Work for Run<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { matrix, input, from, mut part } = self;
        let (tile, images) = (part.plane / TILE, part.groups());
        let weight = &matrix.weight[tile * padded(matrix.blocks_in) * WEIGHTS..][..matrix.blocks_in * WEIGHTS];
        let bias = &matrix.bias[part.plane..];
        if images == 1 {
            let x = &from.image(input, 0)[..matrix.blocks_in];
            let blocks = s.blocks(row(s, bias, weight, x));
            return (0..part.planes).for_each(|b| part.plane(0, b)[0] = matrix.activation.of(blocks[b], part.plane + b));
        }
        let all = tiles::<S>(images).flat_map(|t| (0..t.count).map(move |at| (t.first + at * t.pixels, t.pixels)));
        for (first, count) in all {
            with_pixels!(S, count, P => s.call(Images::<P> { matrix, weight, bias, input, from, first, part: &mut part }));
        }
    }
}

/// A tile's work for `P` images.
struct Images<'a, 'p, const P: usize> {
    matrix: &'a Matrix<'a>,
    weight: &'a [Block],
    bias: &'a [Block],
    input: &'a [Block],
    from: View,
    first: usize,
    part: &'a mut Part<'p, Block>,
}

impl<const P: usize> Work for Images<'_, '_, P> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { matrix, weight, bias, input, from, first, part } = self;
        let images = Pixels { input, from, first, next: 0 };
        let sums = sums::<S, Whole, P>(s, Weights { bias, weight, next: &[], row: 0 }, None, images);
        each!(pixel p < P, {
            let blocks = s.blocks(sums[p]);
            (0..part.planes).for_each(|b| part.plane(first + p, b)[0] = matrix.activation.of(blocks[b], part.plane + b));
        });
    }
}

/// The pixels of several images.
struct Pixels<'a> {
    input: &'a [Block],
    from: View,
    first: usize,
    /// The next block of each.
    next: usize,
}

impl<const P: usize> Source<P> for Pixels<'_> {
    #[inline(always)]
    fn next<'a>(&'a mut self, aside: &'a mut [Block; P]) -> &'a [Block; P] {
        each!(pixel p < P, aside[p] = self.from.image(self.input, self.first + p)[self.next]);
        self.next += 1;
        aside
    }
}
