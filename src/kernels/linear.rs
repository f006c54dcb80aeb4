//! Host side of `shaders/linear.wgsl`.

use super::{Dispatch, Kernel};
use crate::{graph::Activation, plan::Place};

params! {
    /// Parameters of `linear`.
    LinearParams { blocks_in, blocks_out, tiles, workgroups, input_offset, input_stride, output_offset, output_stride, }
}

/// A linear layer on `n` one-pixel maps. `lanes` invocations share inputs: all of a workgroup, or 0.
pub fn linear(
    n: usize,
    [blocks_in, blocks_out]: [usize; 2],
    (invocations, lanes): (u32, u32),
    f16: bool,
    activation: Activation,
    input: Place,
    output: Place,
) -> Dispatch {
    let tiles = (blocks_out as u32).div_ceil(lanes.max(1));
    let workgroups = n as u32 * tiles;
    let params = LinearParams {
        blocks_in: blocks_in as u32,
        blocks_out: blocks_out as u32,
        tiles,
        workgroups,
        input_offset: input.offset,
        input_stride: input.stride,
        output_offset: output.offset,
        output_stride: output.stride,
    };
    let defines = [
        ("WG", invocations.into()),
        ("LANES", lanes.into()),
        ("SUMS_PER_LANE", (lanes == 0).into()),
        ("ACTIVATION", activation as i64),
        ("F16", f16.into()),
    ];
    Dispatch::new(Kernel::Linear, &defines[..], &params, workgroups)
}
