//! Host side of `shaders/linear.wgsl`.

use super::{Dispatch, Kernel};
use crate::{graph::Activation, plan::Place};

params! {
    /// Parameters of `linear`.
    LinearParams { blocks_in, blocks_out, workgroups, input_offset, input_stride, output_offset, output_stride, }
}

/// Invocations that share an output block's sum.
const INVOCATIONS: u32 = 64;

/// A linear layer on `n` one-pixel maps.
pub fn linear(n: usize, [blocks_in, blocks_out]: [usize; 2], f16: bool, activation: Activation, input: Place, output: Place) -> Dispatch {
    let workgroups = (n * blocks_out) as u32;
    let params = LinearParams {
        blocks_in: blocks_in as u32,
        blocks_out: blocks_out as u32,
        workgroups,
        input_offset: input.offset,
        input_stride: input.stride,
        output_offset: output.offset,
        output_stride: output.stride,
    };
    let defines = [("WG", INVOCATIONS.into()), ("SUMS_PER_LANE", 1), ("ACTIVATION", activation as i64), ("F16", f16.into())];
    Dispatch::new(Kernel::Linear, &defines[..], &params, workgroups)
}
