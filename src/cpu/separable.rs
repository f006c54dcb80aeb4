//! Twin of `shaders/separable.wgsl`.
//!
//! The shader makes the depthwise values again for each channel tile, since memory is dear there. Here they are made once, in `middle`.

use super::{
    block::{Block, View},
    depthwise::{Filters, Window},
    pointwise::{Layer, Maps},
};
use crate::kernels::SeparableParams;
use crate::parallel::*;

/// Blocks that the depthwise values of one image take.
pub(crate) fn middle_len(params: &SeparableParams) -> usize {
    params.blocks_in as usize * params.pixels_out as usize
}

/// `blocks` is BLOCKS; `window` is from the parameters. `middle` holds all images' depthwise values.
#[allow(clippy::too_many_arguments)] // the shader's variables and constants
pub(crate) fn separable(
    params: &SeparableParams,
    blocks: usize,
    window: &Window,
    [depthwise_activation, activation]: [u32; 2],
    input: &[Block],
    weight: &[Block],
    bias: &[Block],
    middle: &mut [Block],
    output: &mut [Block],
) {
    let [pixels, blocks_in, blocks_out] = [params.pixels_out, params.blocks_in, params.blocks_out].map(|v| v as usize);
    let count = (params.workgroups / (params.tiles_pixel * params.tiles_channel)) as usize;
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    let depthwise = Filters {
        blocks_in,
        weight: &weight[params.depthwise_offset as usize..],
        bias: &bias[params.depthwise_bias_offset as usize..],
        activation: depthwise_activation,
    };
    let pointwise = Layer { blocks_in, tile: blocks, weight, bias, activation };
    let middle_len = middle_len(params);
    to.images(output, count, blocks_out * pixels).zip(middle.par_chunks_mut(middle_len)).enumerate().for_each(|(n, (image, middle))| {
        depthwise.run(window, from.image(input, n), middle);
        pointwise.run(&Maps { input: middle, pixels, gate: None }, None, image);
    });
}
