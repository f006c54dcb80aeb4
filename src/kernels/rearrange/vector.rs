//! `twin.rs` on the threads of the vectors.

use super::{Params, twin::Walk};
use crate::{block::View, plan::Call};

pub(crate) fn rearrange(call: Call<'_>) {
    let params: Params = call.params();
    let [input, table] = ["input", "table"].map(|name| call.read(name));
    let [pixels, blocks] = [params.pixels_out, params.blocks_out].map(|v| v as usize);
    let walk = Walk::new(&params, table);
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    let split = to.split(params.outputs as usize / (blocks * pixels), blocks, pixels, 1);
    split.shared_by(call.team, 1).each(call.team, call.output, |mut part| {
        let (input, plane, first) = (from.image(input, part.image), part.plane, part.first);
        for (p, out) in part.plane(0, 0).iter_mut().enumerate() {
            *out = walk.block(input, plane, first + p);
        }
    });
}
