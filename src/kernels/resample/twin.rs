//! The twin of `shaders/resample.wgsl`.

use super::Params;
use crate::{
    block::{Block, View, multiply, multiply_add, scale, splat},
    parallel::*,
    plan::Call,
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
    to.images(call.output, count, blocks * pixels).enumerate().for_each(|(n, image)| {
        let input = from.image(input, n);
        let other = other.map(|other| by.image(other, n));
        image.par_chunks_mut(pixels).enumerate().for_each(|(block, map)| {
            let input = &input[block * pixels_in..][..pixels_in];
            let mut at = block * pixels;
            for (out_row, &[first, second, row_weight, _]) in map.chunks_exact_mut(width).zip(rows) {
                let [top, bottom] = [first, second].map(|row| &input[row as usize * width_in..][..width_in]);
                for (out, &[left, right, weight, _]) in out_row.iter_mut().zip(columns) {
                    let [left, right] = [left as usize, right as usize];
                    let value = if bilinear {
                        let [above, below] = [top, bottom].map(|row| blend(row[left], row[right], weight));
                        blend(above, below, row_weight)
                    } else {
                        top[left]
                    };
                    *out = other.map_or(value, |other| multiply(value, other[at]));
                    at += 1;
                }
            }
        });
    });
}

#[inline(always)]
pub(super) fn blend(first: Block, second: Block, weight: f32) -> Block {
    multiply_add(second, splat(weight), scale(first, 1.0 - weight))
}
