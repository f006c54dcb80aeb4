//! `twin.rs` in rows of sixteen lanes.

use super::Params;
use crate::{
    block::View,
    kernels::{
        depthwise::twin::{Filters, Window},
        pointwise::vector::{Layer, Maps, Run},
    },
    plan::Call,
    simd::{self, rows::TILE},
};

pub(crate) fn separable(call: Call<'_>) {
    if !simd::IS_ALL && !call.dispatch.rows() {
        return super::twin::separable(call);
    }
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
    let (activation, tiles) = (call.activation("ACTIVATION", bias, call.bias_len(blocks_out)), blocks_out.div_ceil(TILE));
    let layer = Layer { blocks_in, weight, bias, activation, tiles, stride: call.team.threads() };
    let (level, team, images) = (call.level, call.team, params.images());
    let between = View { offset: 0, stride: params.middle_len() };
    let split = between.split(images, blocks_in, pixels, 1);
    depthwise.run_by_vectors(level, team, &window, split, call.scratch, |n| from.image(input, n));
    let middle = &*call.scratch;
    to.split(images, blocks_out, pixels, TILE).shared_by(team, TILE).each(team, call.output, |part| {
        let maps = Maps { input: between.image(middle, part.image), blocks: &[], pixels, gate: None };
        level.run(Run { layer: &layer, maps, residual: None, mean: false, part });
    });
}
