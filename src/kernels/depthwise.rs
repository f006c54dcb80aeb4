//! Host side of `shaders/depthwise.wgsl`.

use super::{Dispatch, Kernel, choice::Tile};
use crate::{graph::Activation, plan::Place};

params! {
    /// Parameters of `depthwise`.
    DepthwiseParams {
        width_in, height_in, width_out, height_out, pad_x, pad_y, blocks_in, blocks_out, tiles, images, strip, workgroups, input_offset, input_stride,
        output_offset, output_stride,
    }
}

/// Sums of output rows that an invocation of `depthwise` has under way which goes down a strip.
pub(super) fn live([kernel, _]: [usize; 2], [stride, _]: [usize; 2]) -> usize {
    kernel.div_ceil(stride)
}

/// The rows of a strip of `n` maps with `blocks` blocks, so that `workers` have made all strips soonest; sizes are (rows, columns).
pub fn depthwise_strip(
    n: usize,
    [height, width]: [usize; 2],
    blocks: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    tile: &Tile,
    workers: u32,
) -> usize {
    let turns = |strips: usize| {
        let tiles = n * blocks * width.div_ceil(tile.pixels as usize) * strips;
        let rounds = tiles.div_ceil(tile.invocations as usize).div_ceil(workers.max(1) as usize);
        rounds * (height.div_ceil(strips) + live(kernel, stride) - 1)
    };
    let strips = (1..=height).min_by_key(|&strips| turns(strips)).unwrap_or(1);
    height.div_ceil(strips)
}

/// A depthwise convolution of `n` maps; sizes are (rows, columns). `same`: input and output are ranges of one buffer. `rolled`: the rows of the kernel
/// are a loop. `strip`: an invocation goes down so many rows; 0 where it has one only.
#[allow(clippy::too_many_arguments)] // what a depthwise convolution is; a struct would only repeat the names
pub fn depthwise(
    n: usize,
    [h_in, w_in]: [usize; 2],
    [h_out, w_out]: [usize; 2],
    [blocks_in, blocks_out]: [usize; 2],
    (kernel, stride, pad): ([usize; 2], [usize; 2], [usize; 2]),
    tile: Tile,
    strip: usize,
    (rolled, f16): (bool, bool),
    (same, sums): (bool, bool),
    activation: Activation,
    input: Place,
    output: Place,
) -> Dispatch {
    let maps = n * blocks_out;
    let invocations = tile.invocations as usize;
    let runs = w_out.div_ceil(tile.pixels as usize) * h_out.div_ceil(strip.max(1));
    let (tiles, workgroups) = if strip > 0 {
        (runs, (maps * runs).div_ceil(invocations))
    } else {
        let tiles = runs.div_ceil(invocations);
        (tiles, maps * tiles)
    };
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
        images: n as u32,
        strip: strip as u32,
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
        ("ROLLED", (rolled && strip == 0).into()),
        ("LIVE", if strip > 0 { live(kernel, stride) as i64 } else { 0 }),
        ("RAGGED", (strip > 0 && !w_out.is_multiple_of(tile.pixels as usize)).into()),
        ("STRIDE_Y", stride[0] as i64),
        ("STRIDE_X", stride[1] as i64),
        ("SAME", same.into()),
        ("SUMS", sums.into()),
        ("SUMS_PER_LANE", (sums && strip == 0).into()),
        ("ACTIVATION", activation as i64),
        ("F16", f16.into()),
    ];
    Dispatch::new(Kernel::Depthwise, &defines[..], &params, workgroups as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_share_the_work_out() {
        let tile = Tile { invocations: 4, pixels: 7, blocks: 1, unroll: 1 };
        let rows = |size, blocks, workers| depthwise_strip(1, size, blocks, [5, 5], [2, 2], &tile, workers);
        // Workgroups enough for all: nothing is loaded twice.
        assert_eq!(rows([28, 28], 18, 2), 28);
        assert_eq!(rows([7, 7], 168, 16), 7);
        // One of two workers would be idle, or wait for the other.
        assert_eq!(rows([56, 28], 1, 2), 28);
        assert!(rows([28, 28], 3, 2) < 28);
        // No more strips than rows, however many workers there are.
        assert!((1..=7).contains(&rows([7, 7], 1, 1000)));
        assert_eq!(rows([1, 1], 1, 16), 1);
    }
}
