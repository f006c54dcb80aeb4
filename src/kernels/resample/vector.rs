//! `twin.rs`, compiled for the level's instructions.

use super::{Params, twin::blend};
use crate::{
    block::{Block, View, multiply},
    parallel::Part,
    plan::Call,
    simd::{Simd, Work},
};

pub(crate) fn resample(call: Call<'_>) {
    let params: Params = call.params();
    let bilinear = call.define("BILINEAR") != 0;
    let [input, table] = ["input", "table"].map(|name| call.read(name));
    let other = call.maybe("other");
    let [width_in, pixels_in, width, height, blocks] =
        [params.width_in, params.pixels_in, params.width_out, params.height_out, params.blocks].map(|v| v as usize);
    let (rows, columns) = table.split_at(height);
    let (pixels, count) = (width * height, params.outputs as usize / (blocks * width * height));
    let from = View::new(params.input_offset, params.input_stride);
    let by = View::new(params.other_offset, params.other_stride);
    let to = View::new(params.output_offset, params.output_stride);
    let (level, team) = (call.level, call.team);
    to.split(count, blocks, pixels, 1).shared_by(team, width).each(team, call.output, |part| {
        let input = &from.image(input, part.image)[part.plane * pixels_in..][..pixels_in];
        let other = other.map(|other| &by.image(other, part.image)[part.plane * pixels + part.first..][..part.pixels]);
        level.run(Run { input, width_in, rows: &rows[part.first / width..], columns: &columns[..width], bilinear, other, part });
    });
}

/// One part's work.
struct Run<'a> {
    input: &'a [Block],
    width_in: usize,
    /// Of each row and column its two pixels and the second's weight.
    rows: &'a [Block],
    columns: &'a [Block],
    bilinear: bool,
    /// Of the part's pixels.
    other: Option<&'a [Block]>,
    part: Part<'a, Block>,
}

impl Work for Run<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { input, width_in, rows, columns, bilinear, other, mut part } = self;
        let out = part.plane(0, 0);
        for (out_row, &[first, second, row_weight, _]) in out.chunks_exact_mut(columns.len()).zip(rows) {
            let [top, bottom] = [first, second].map(|row| &input[row as usize * width_in..][..width_in]);
            for (out, &[left, right, weight, _]) in out_row.iter_mut().zip(columns) {
                let [left, right] = [left as usize, right as usize];
                *out = if bilinear {
                    blend(blend(top[left], top[right], weight), blend(bottom[left], bottom[right], weight), row_weight)
                } else {
                    top[left]
                };
            }
        }
        if let Some(other) = other {
            out.iter_mut().zip(other).for_each(|(out, other)| *out = multiply(*out, *other));
        }
    }
}
