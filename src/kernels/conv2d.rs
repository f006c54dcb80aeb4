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

/// The widest kernel whose row is written out.
const RUN_TAPS: usize = 5;

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
    (tile, lanes): (Tile, u32),
    products: Products,
    activation: Activation,
    input: Place,
    output: Place,
) -> Dispatch {
    // On SwiftShader neighbours share columns: the stem takes 2.8 ms there in place of 3.7 (2.5 with three channels of four). On lavapipe it is no
    // faster and compiles for half as long again (2026-11-26).
    let shares = conv.dilation[1] == 1 && kernel[1] <= RUN_TAPS && conv.stride[1] <= kernel[1] && w_out * 2 >= tile.pixels as usize;
    let in_runs = cfg!(not(target_arch = "wasm32")) && lanes == 4 && shares;
    let pixels = tile.pixels as usize;
    let per_lane = if in_runs { w_out.div_ceil(pixels) * h_out } else { (h_out * w_out).div_ceil(pixels) };
    let tiles_pixel = (per_lane as u32).div_ceil(tile.invocations);
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
        ("UNROLL", if in_runs { kernel[1] as i64 } else { 1 }),
        ("KW", if in_runs { kernel[1] as i64 } else { 0 }),
        ("STRIDE_X", if in_runs { conv.stride[1] as i64 } else { 0 }),
        ("DEPTH", depth as i64),
        ("LANES", lanes.into()),
        // With 4 lanes (SwiftShader) the stem would compile 0.1 s sooner and run 0.2 ms longer.
        ("STORES_IN_LOOP", (lanes == 8).into()),
        ("ACTIVATION", activation as i64),
        ("F16", products.halves as i64),
    ];
    Dispatch::new(Kernel::Conv2d, &defines[..], &params, workgroups)
}
