//! The twin of `shaders/elementwise.wgsl`.

use super::Params;
use crate::{
    block::{Block, View, calculate},
    parallel::*,
    plan::Call,
};

pub(crate) fn elementwise(call: Call<'_>) {
    let params: Params = call.params();
    let (op, activation) = (call.define("OP"), call.activation("ACTIVATION", call.maybe("parameter").unwrap_or(&[]), 0));
    let (a, b) = (call.read("a"), call.maybe("b"));
    let [pixels, blocks] = [params.pixels, params.blocks].map(|v| v as usize);
    let count = params.outputs as usize / (pixels * blocks);
    let to = View::new(params.output_offset, params.output_stride);
    let (a_at, b_at) = (View::new(params.a_offset, params.a_stride), View::new(params.b_offset, params.b_stride));
    to.images(call.output, count, pixels * blocks).enumerate().for_each(|(n, image)| {
        let a = a_at.image(a, n);
        let b = b.map(|b| b_at.image(b, n));
        image.par_chunks_mut(pixels).enumerate().for_each(|(block, map)| {
            for (p, out) in map.iter_mut().enumerate() {
                let at = block * pixels + p;
                let other = |b: &[Block]| b[if params.b_is_gate != 0 { block } else { at }];
                let value = b.map_or(a[at], |b| calculate(op, a[at], other(b)));
                *out = activation.of(value, block);
            }
        });
    });
}
