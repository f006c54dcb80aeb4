//! Host side of `shaders/conv2d.wgsl`.

use super::{Dispatch, Kernel, Products, choice::Tile};
use crate::{
    graph::{Activation, Conv},
    plan::Place,
};

params! {
    /// Parameters of `conv2d`.
    Conv2dParams {
        width_in, height_in, width_out, pixels_out, kernel_y, kernel_x, stride_y, stride_x, pad_y, pad_x, dilation_y, dilation_x,
        blocks_window, blocks_out, first_offset, tiles_pixel, tiles_channel, workgroups, input_offset, input_stride, output_offset,
        output_stride, unscale,
    }
}

/// A convolution of `n` maps; sizes are (rows, columns). Each tile sums over `blocks_window` input blocks, of which `depth` lanes have a channel.
#[allow(clippy::too_many_arguments)] // what a convolution is; a struct would only repeat the names
pub fn conv2d(
    n: usize,
    [h_in, w_in]: [usize; 2],
    [h_out, w_out]: [usize; 2],
    [blocks_window, blocks_out]: [usize; 2],
    depth: usize,
    kernel: [usize; 2],
    conv: &Conv,
    tile: Tile,
    products: Products,
    activation: Activation,
    input: Place,
    output: Place,
) -> Dispatch {
    let tiles_pixel = ((h_out * w_out) as u32).div_ceil(tile.invocations * tile.pixels);
    let tiles_channel = (blocks_out as u32).div_ceil(tile.blocks);
    let workgroups = n as u32 * tiles_channel * tiles_pixel;
    let params = Conv2dParams {
        width_in: w_in as u32,
        height_in: h_in as u32,
        width_out: w_out as u32,
        pixels_out: (h_out * w_out) as u32,
        kernel_y: kernel[0] as u32,
        kernel_x: kernel[1] as u32,
        stride_y: conv.stride[0] as u32,
        stride_x: conv.stride[1] as u32,
        pad_y: conv.pad[0] as u32,
        pad_x: conv.pad[1] as u32,
        dilation_y: conv.dilation[0] as u32,
        dilation_x: conv.dilation[1] as u32,
        blocks_window: blocks_window as u32,
        blocks_out: blocks_out as u32,
        first_offset: tiles_channel * tile.blocks,
        tiles_pixel,
        tiles_channel,
        workgroups,
        input_offset: input.offset,
        input_stride: input.stride,
        output_offset: output.offset,
        output_stride: output.stride,
        unscale: products.unscale(),
    };
    let defines = [
        ("WG", tile.invocations.into()),
        ("PIXELS", tile.pixels.into()),
        ("BLOCKS", tile.blocks.into()),
        ("DEPTH", depth as i64),
        ("ACTIVATION", activation as i64),
        ("F16", products.halves as i64),
    ];
    Dispatch::new(Kernel::Conv2d, &defines[..], &params, workgroups)
}
