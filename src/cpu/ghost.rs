//! Twin of `shaders/ghost.wgsl`.
//!
//! The intrinsic maps go straight to their channel range, where the cheap operation finds them in the cache, halo and all; the residual
//! is added last, after the sums are taken.

use super::{
    block::{Block, View, ZERO, add, total},
    depthwise::{Filters, Window},
    pointwise::{Layer, Maps},
};
use crate::kernels::GhostParams;
use crate::parallel::*;

/// The buffers that a variant of the kernel has or has not.
pub(crate) struct Extra<'a> {
    /// With GATE.
    pub gate: Option<&'a [Block]>,
    /// With RESIDUAL.
    pub residual: Option<&'a [Block]>,
    /// With SUMS.
    pub sums: Option<&'a mut [Block]>,
}

/// `blocks` is BLOCKS, `d` is D.
pub(crate) fn ghost(
    params: &GhostParams,
    [blocks, d]: [usize; 2],
    [activation, cheap_activation]: [u32; 2],
    [input, weight, bias]: [&[Block]; 3],
    extra: Extra,
    output: &mut [Block],
) {
    let [width, height, blocks_in, primary] = [params.width, params.height, params.blocks_in, params.blocks_primary].map(|v| v as usize);
    let pixels = width * height;
    let tiles = (params.tiles_x * params.tiles_y) as usize;
    let count = params.workgroups as usize / (tiles * params.tiles_channel as usize);
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    let residual_at = View::new(params.residual_offset, params.residual_stride);
    let layer = Layer { blocks_in, tile: blocks, weight, bias, activation };
    let cheap = Filters {
        blocks_in: primary,
        weight: &weight[params.cheap_offset as usize..],
        bias: &bias[params.cheap_bias_offset as usize..],
        activation: cheap_activation,
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
    let blocks_out = primary * (1 + params.ghost_groups as usize);
    to.images(output, count, blocks_out * pixels).enumerate().for_each(|(n, image)| {
        let (intrinsic, ghosts) = image.split_at_mut(primary * pixels);
        let gate = extra.gate.map(|gate| &gate[n * blocks_in..][..blocks_in]);
        layer.run(&Maps { input: from.image(input, n), pixels, gate }, None, intrinsic);
        cheap.run(&window, intrinsic, ghosts);
    });
    if let Some(sums) = extra.sums {
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
    if let Some(residual) = extra.residual {
        to.images(output, count, blocks_out * pixels).enumerate().for_each(|(n, image)| {
            let residual = &residual_at.image(residual, n)[..image.len()];
            let maps = image.par_chunks_mut(pixels).zip(residual.par_chunks(pixels));
            maps.for_each(|(map, other)| map.iter_mut().zip(other).for_each(|(v, &r)| *v = add(*v, r)));
        });
    }
}
