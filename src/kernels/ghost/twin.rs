//! The twin of `shaders/ghost.wgsl`.
//!
//! The intrinsic maps go straight to their channel range, where the cheap operation finds them in
//! the cache, halo and all; the residual is added last, after the sums are taken.

use super::Params;
use crate::{
    block::{View, ZERO, add, total},
    kernels::{
        depthwise::twin::{Filters, Window},
        pointwise::twin::{Layer, Maps},
    },
    parallel::*,
    plan::Call,
};

pub(crate) fn ghost(call: Call<'_>) {
    let params: Params = call.params();
    let [tile, d] = ["BLOCKS", "D"].map(|name| call.define(name));
    let [input, weight, bias] = ["input", "weight", "bias"].map(|name| call.read(name));
    let (gate, residual) = (call.maybe("gate"), call.residual(params.residual_offset, params.residual_stride));
    let [width, height, blocks_in, primary] = [params.width, params.height, params.blocks_in, params.blocks_primary].map(|v| v as usize);
    let pixels = width * height;
    let tiles = (params.tiles_x * params.tiles_y) as usize;
    let count = params.workgroups as usize / (tiles * params.tiles_channel as usize);
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    let activation = call.activation("ACTIVATION", bias, call.bias_len(primary));
    let layer = Layer { blocks_in, tile, steps: call.steps(), weight, bias, activation };
    let (_, cheap_bias) = bias.split_at(params.cheap_bias_offset as usize);
    let cheap = Filters {
        blocks_in: primary,
        weight: &weight[params.cheap_offset as usize..],
        bias: cheap_bias,
        activation: call.activation("CHEAP_ACTIVATION", cheap_bias, primary * params.ghost_groups as usize),
    };
    let window = Window {
        width_in: width,
        height_in: height,
        width_out: width,
        height_out: height,
        kernel: [d; 2],
        stride: [1; 2],
        pad: [d / 2; 2],
    };
    let (output, sums) = (call.output, call.sums);
    let blocks_out = primary * (1 + params.ghost_groups as usize);
    to.images(output, count, blocks_out * pixels).enumerate().for_each(|(n, image)| {
        let (intrinsic, ghosts) = image.split_at_mut(primary * pixels);
        let gate = gate.map(|gate| &gate[n * blocks_in..][..blocks_in]);
        layer.run(&Maps { input: from.image(input, n), blocks: &[], pixels, gate }, None, intrinsic);
        cheap.run(&window, intrinsic, ghosts);
    });
    if let Some(sums) = sums {
        let [tile_width, tile_height, tiles_x] = [params.tile_width, params.tile_height, params.tiles_x].map(|v| v as usize);
        sums.par_chunks_mut(blocks_out).take(count * tiles).enumerate().for_each(|(at, sums)| {
            let image = to.image(output, at / tiles);
            let (x0, y0) = (at % tiles % tiles_x * tile_width, at % tiles / tiles_x * tile_height);
            let (x1, y1) = ((x0 + tile_width).min(width), (y0 + tile_height).min(height));
            for (block, sum) in sums.iter_mut().enumerate() {
                let map = &image[block * pixels..][..pixels];
                *sum = (y0..y1).map(|y| total(&map[y * width..][x0..x1])).fold(ZERO, add);
            }
        });
    }
    if let Some(residual) = residual {
        to.images(output, count, blocks_out * pixels).enumerate().for_each(|(n, image)| {
            let residual = residual.image(n);
            let maps = image.par_chunks_mut(pixels).enumerate();
            maps.for_each(|(at, map)| residual.range(at * pixels, pixels).to_all(map));
        });
    }
}
