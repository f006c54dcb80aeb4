//! The twin of `shaders/separable.wgsl`.
//!
//! The shader makes the depthwise values again for each channel tile, since memory is dear there.
//! Here they are made once.

use super::Params;
use crate::{
    block::View,
    kernels::{
        depthwise::twin::{Filters, Window},
        pointwise::twin::{Layer, Maps},
    },
    parallel::*,
    plan::Call,
};

pub(crate) fn separable(call: Call<'_>) {
    let params: Params = call.params();
    let size_out = [params.pixels_out / params.width_out, params.width_out];
    let window = Window {
        stride: [params.stride_y, params.stride_x].map(|v| v as usize),
        ..Window::new(&call, [params.height_in, params.width_in], size_out, [params.pad_y, params.pad_x])
    };
    let [input, weight, bias] = ["input", "weight", "bias"].map(|name| call.read(name));
    let [pixels, blocks_in, blocks_out] = [params.pixels_out, params.blocks_in, params.blocks_out].map(|v| v as usize);
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    let (_, first_bias) = bias.split_at(params.depthwise_bias_offset as usize);
    let depthwise = Filters {
        blocks_in,
        weight: &weight[params.depthwise_offset as usize..],
        bias: first_bias,
        activation: call.activation("DEPTHWISE_ACTIVATION", first_bias, blocks_in),
    };
    let activation = call.activation("ACTIVATION", bias, call.bias_len(blocks_out));
    let pointwise = Layer { blocks_in, tile: call.define("BLOCKS"), steps: call.steps(), weight, bias, activation };
    let images = to.images(call.output, params.images(), blocks_out * pixels);
    images.zip(call.scratch.par_chunks_mut(params.middle_len())).enumerate().for_each(|(n, (image, middle))| {
        depthwise.run(&window, from.image(input, n), middle);
        pointwise.run(&Maps { input: middle, blocks: &[], pixels, gate: None }, None, image);
    });
}
