//! Host side of `shaders/separable.wgsl`.

use super::{Dispatch, Kernel, choice::Tile, padded};
use crate::{graph::Activation, plan::Place};

params! {
    /// Parameters of `separable`.
    SeparableParams {
        width_in, height_in, width_out, pixels_out, stride_y, stride_x, pad_y, pad_x, blocks_in, blocks_out, depthwise_offset, depthwise_bias_offset,
        tiles_pixel, tiles_channel, workgroups, input_offset, input_stride, output_offset, output_stride,
    }
}

/// A depthwise and a 1x1 convolution of `n` maps; sizes are (rows, columns).
#[allow(clippy::too_many_arguments)] // what a separable convolution is; a struct would only repeat the names
pub fn separable(
    n: usize,
    [h_in, w_in]: [usize; 2],
    [h_out, w_out]: [usize; 2],
    [blocks_in, blocks_out]: [usize; 2],
    (kernel, stride, pad): ([usize; 2], [usize; 2], [usize; 2]),
    tile: Tile,
    f16: bool,
    [depthwise_activation, activation]: [Activation; 2],
    input: Place,
    output: Place,
) -> Dispatch {
    let tiles_pixel = ((h_out * w_out) as u32).div_ceil(tile.invocations);
    let tiles_channel = (blocks_out as u32).div_ceil(tile.blocks);
    let workgroups = n as u32 * tiles_channel * tiles_pixel;
    let params = SeparableParams {
        width_in: w_in as u32,
        height_in: h_in as u32,
        width_out: w_out as u32,
        pixels_out: (h_out * w_out) as u32,
        stride_y: stride[0] as u32,
        stride_x: stride[1] as u32,
        pad_y: pad[0] as u32,
        pad_x: pad[1] as u32,
        blocks_in: blocks_in as u32,
        blocks_out: blocks_out as u32,
        depthwise_offset: tiles_channel * padded(blocks_in) as u32 * tile.blocks * 4,
        depthwise_bias_offset: tiles_channel * tile.blocks,
        tiles_pixel,
        tiles_channel,
        workgroups,
        input_offset: input.offset,
        input_stride: input.stride,
        output_offset: output.offset,
        output_stride: output.stride,
    };
    let defines = [
        ("WG", tile.invocations.into()),
        ("BLOCKS", tile.blocks.into()),
        ("KH", kernel[0] as i64),
        ("KW", kernel[1] as i64),
        ("DEPTHWISE_ACTIVATION", depthwise_activation as i64),
        ("ACTIVATION", activation as i64),
        ("F16", f16.into()),
    ];
    Dispatch::new(Kernel::Separable, &defines[..], &params, workgroups)
}
