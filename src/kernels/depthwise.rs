//! Host side of `shaders/depthwise.wgsl`.

use super::{Dispatch, Kernel, choice::Tile};
use crate::{graph::Activation, plan::Place};

params! {
    /// Parameters of `depthwise`.
    DepthwiseParams {
        width_in, height_in, width_out, height_out, pad_x, pad_y, blocks_in, blocks_out, tiles, workgroups, input_offset, input_stride, output_offset,
        output_stride,
    }
}

/// A depthwise convolution of `n` maps; sizes are (rows, columns). `same`: input and output are ranges of one buffer.
#[allow(clippy::too_many_arguments)] // what a depthwise convolution is; a struct would only repeat the names
pub fn depthwise(
    n: usize,
    [h_in, w_in]: [usize; 2],
    [h_out, w_out]: [usize; 2],
    [blocks_in, blocks_out]: [usize; 2],
    (kernel, stride, pad): ([usize; 2], [usize; 2], [usize; 2]),
    tile: Tile,
    f16: bool,
    (same, sums): (bool, bool),
    activation: Activation,
    input: Place,
    output: Place,
) -> Dispatch {
    let tiles = (w_out.div_ceil(tile.pixels as usize) * h_out).div_ceil(tile.invocations as usize);
    let workgroups = n * blocks_out * tiles;
    let params = DepthwiseParams {
        width_in: w_in as u32,
        height_in: h_in as u32,
        width_out: w_out as u32,
        height_out: h_out as u32,
        pad_x: pad[1] as u32,
        pad_y: pad[0] as u32,
        blocks_in: blocks_in as u32,
        blocks_out: blocks_out as u32,
        tiles: tiles as u32,
        workgroups: workgroups as u32,
        input_offset: input.offset,
        input_stride: input.stride,
        output_offset: output.offset,
        output_stride: output.stride,
    };
    let defines = [
        ("WG", tile.invocations.into()),
        ("PIXELS", tile.pixels.into()),
        ("KH", kernel[0] as i64),
        ("KW", kernel[1] as i64),
        ("STRIDE_Y", stride[0] as i64),
        ("STRIDE_X", stride[1] as i64),
        ("SAME", same.into()),
        ("SUMS", sums.into()),
        ("SUMS_PER_LANE", sums.into()),
        ("ACTIVATION", activation as i64),
        ("F16", f16.into()),
    ];
    Dispatch::new(Kernel::Depthwise, &defines[..], &params, workgroups as u32)
}
