//! Host side of `shaders/pointwise.wgsl`.

use super::{Dispatch, Kernel, Products, choice::Tile};
use crate::{graph::Activation, plan::Place};

params! {
    /// Parameters of `pointwise`.
    PointwiseParams {
        pixels, blocks_in, blocks_out, tiles_pixel, tiles_channel, workgroups, input_offset, input_stride, output_offset,
        output_stride, residual_offset, residual_stride, unscale,
    }
}

/// A 1x1 convolution of `n` maps of `pixels` pixels. With `pool` only each map's mean is written.
#[allow(clippy::too_many_arguments)] // what a 1x1 convolution is; a struct would only repeat the names
pub fn pointwise(
    n: usize,
    pixels: usize,
    [blocks_in, blocks_out]: [usize; 2],
    tile: Tile,
    products: Products,
    (gate, residual, pool): (bool, Option<Place>, bool),
    activation: Activation,
    input: Place,
    output: Place,
) -> Dispatch {
    let tiles_pixel = (pixels as u32).div_ceil(tile.invocations * tile.pixels);
    let tiles_channel = (blocks_out as u32).div_ceil(tile.blocks);
    let workgroups = n as u32 * tiles_channel * if pool { 1 } else { tiles_pixel };
    let params = PointwiseParams {
        pixels: pixels as u32,
        blocks_in: blocks_in as u32,
        blocks_out: blocks_out as u32,
        tiles_pixel,
        tiles_channel,
        workgroups,
        input_offset: input.offset,
        input_stride: input.stride,
        output_offset: output.offset,
        output_stride: output.stride,
        residual_offset: residual.map_or(0, |p| p.offset),
        residual_stride: residual.map_or(0, |p| p.stride),
        unscale: products.unscale(),
    };
    let defines = [
        ("WG", tile.invocations.into()),
        ("PIXELS", tile.pixels.into()),
        ("BLOCKS", tile.blocks.into()),
        ("UNROLL", tile.unroll.into()),
        ("GATE", gate.into()),
        ("RESIDUAL", residual.is_some().into()),
        ("POOL", pool.into()),
        ("SUMS_PER_LANE", if pool { tile.blocks.into() } else { 0 }),
        ("ACTIVATION", activation as i64),
        ("F16", products.halves as i64),
    ];
    Dispatch::new(Kernel::Pointwise, &defines[..], &params, workgroups)
}
