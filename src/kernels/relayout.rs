//! Host side of `shaders/relayout.wgsl`.

use super::{Dispatch, Kernel};
use crate::plan::Place;

params! {
    /// Parameters of `relayout`.
    RelayoutParams { pixels, blocks_out, outputs, workgroups, input_offset, input_stride, output_offset, output_stride }
}

const INVOCATIONS: u32 = 64;

/// Copies `n` maps of `pixels` pixels into `blocks_out` blocks of another channel order.
pub fn relayout(n: usize, pixels: usize, blocks_out: usize, f16: bool, input: Place, output: Place) -> Dispatch {
    let outputs = (n * pixels * blocks_out) as u32;
    let workgroups = outputs.div_ceil(INVOCATIONS);
    let params = RelayoutParams {
        pixels: pixels as u32,
        blocks_out: blocks_out as u32,
        outputs,
        workgroups,
        input_offset: input.offset,
        input_stride: input.stride,
        output_offset: output.offset,
        output_stride: output.stride,
    };
    Dispatch::new(Kernel::Relayout, &[("WG", INVOCATIONS.into()), ("F16", f16.into())], &params, workgroups)
}
