//! `twin.rs` on the threads of the vectors.

use super::Params;
use crate::{block::View, plan::Call};

pub(crate) fn relayout(call: Call<'_>) {
    let params: Params = call.params();
    let [input, table] = ["input", "table"].map(|name| call.read(name));
    let [pixels, blocks] = [params.pixels, params.blocks_out].map(|v| v as usize);
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    let split = to.split(params.outputs as usize / (pixels * blocks), blocks, pixels, 1);
    split.shared_by(call.team, 4).each(call.team, call.output, |mut part| {
        let (input, lanes, first) = (from.image(input, part.image), table[part.plane], part.first);
        for (p, out) in part.plane(0, 0).iter_mut().enumerate() {
            // A negative lane is padding.
            *out = lanes.map(|lane| if lane < 0.0 { 0.0 } else { input[lane as usize / 4 * pixels + first + p][lane as usize % 4] });
        }
    });
}
