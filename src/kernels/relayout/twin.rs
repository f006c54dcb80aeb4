//! The twin of `shaders/relayout.wgsl`.

use super::Params;
use crate::{block::View, parallel::*, plan::Call};

pub(crate) fn relayout(call: Call<'_>) {
    let params: Params = call.params();
    let [input, table] = ["input", "table"].map(|name| call.read(name));
    let [pixels, blocks] = [params.pixels, params.blocks_out].map(|v| v as usize);
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    to.images(call.output, params.outputs as usize / (pixels * blocks), pixels * blocks).enumerate().for_each(|(n, image)| {
        let input = from.image(input, n);
        image.par_chunks_mut(pixels).zip(table).for_each(|(map, lanes)| {
            for (p, out) in map.iter_mut().enumerate() {
                // A negative lane is padding.
                *out = lanes.map(|lane| if lane < 0.0 { 0.0 } else { input[lane as usize / 4 * pixels + p][lane as usize % 4] });
            }
        });
    });
}
