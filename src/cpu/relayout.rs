//! Twin of `shaders/relayout.wgsl`.

use super::block::{Block, View};
use crate::kernels::RelayoutParams;
use crate::parallel::*;

pub(crate) fn relayout(params: &RelayoutParams, input: &[Block], table: &[Block], output: &mut [Block]) {
    let [pixels, blocks] = [params.pixels, params.blocks_out].map(|v| v as usize);
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    to.images(output, params.outputs as usize / (pixels * blocks), pixels * blocks).enumerate().for_each(|(n, image)| {
        let input = from.image(input, n);
        image.par_chunks_mut(pixels).zip(table).for_each(|(map, lanes)| {
            for (p, out) in map.iter_mut().enumerate() {
                // A negative lane is padding.
                *out = lanes.map(|lane| if lane < 0.0 { 0.0 } else { input[lane as usize / 4 * pixels + p][lane as usize % 4] });
            }
        });
    });
}
