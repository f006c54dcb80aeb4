//! `twin.rs` with whole maps in rows of four pixels.

use super::{Params, twin::pool_row};
use crate::{
    block::{Block, View, scale},
    parallel::Part,
    plan::Call,
    simd::{Simd, Work, rows::total},
};

pub(crate) fn pool(call: Call<'_>) {
    let params: Params = call.params();
    let [window, sums] = ["WINDOW", "SUMS"].map(|name| call.define(name) != 0);
    let input = call.read("input");
    let [width_in, height_in, width_out, height_out] =
        [params.width_in, params.height_in, params.width_out, params.height_out].map(|v| v as usize);
    let blocks = params.blocks as usize;
    let (pixels_in, pixels_out) = (width_in * height_in, width_out * height_out);
    let count = params.outputs as usize / (blocks * pixels_out);
    let from = View::new(params.input_offset, params.input_stride);
    let to = if sums { View { offset: 0, stride: blocks } } else { View::new(params.output_offset, params.output_stride) };
    let (level, team) = (call.level, call.team);
    let split = to.split(count, blocks, pixels_out, 1);
    if window {
        split.shared_by(team, width_out).each(team, call.output, |mut part| {
            let map = &from.image(input, part.image)[part.plane * pixels_in..][..pixels_in];
            let first = part.first / width_out;
            for (y, row) in part.plane(0, 0).chunks_exact_mut(width_out).enumerate() {
                pool_row(&params, map, first + y, row);
            }
        });
    } else {
        let factor = if sums { 1.0 } else { 1.0 / pixels_in as f32 };
        split.each(team, call.output, |part| {
            let map = &from.image(input, part.image)[part.plane * pixels_in..][..pixels_in];
            level.run(Run { map, width: width_in, factor, part });
        });
    }
}

/// A whole map's work.
struct Run<'a> {
    map: &'a [Block],
    width: usize,
    factor: f32,
    part: Part<'a, Block>,
}

impl Work for Run<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { map, width, factor, mut part } = self;
        // Row by row, so that rounding errors do not grow with the length of a map.
        let mut sum = [0.0; 4];
        for row in map.chunks_exact(width) {
            sum = crate::block::add(sum, total(s, row));
        }
        part.plane(0, 0)[0] = scale(sum, factor);
    }
}
