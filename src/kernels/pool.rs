//! Host side of `shaders/pool.wgsl`.

use super::{Dispatch, Kernel};
use crate::{
    graph::{Pool, PoolKind},
    plan::Place,
};

params! {
    /// Parameters of `pool`.
    PoolParams {
        width_in, height_in, width_out, height_out, kernel_y, kernel_x, stride_y, stride_x, pad_y, pad_x, blocks, outputs, workgroups,
        input_offset, input_stride, output_offset, output_stride, maximum, count_pad,
    }
}

/// Invocations of a workgroup: over windows an output each, else of one map.
const INVOCATIONS: u32 = 64;

/// Pooling of `n` maps over `window`, or the mean of the whole map; sizes are (rows, columns). `sums`: write f32
/// sums, not means.
#[allow(clippy::too_many_arguments)] // what a pooling is; a struct would only repeat the names
pub fn pool(
    n: usize,
    [h_in, w_in]: [usize; 2],
    [h_out, w_out]: [usize; 2],
    blocks: usize,
    window: Option<&Pool>,
    f16: bool,
    sums: bool,
    input: Place,
    output: Place,
) -> Dispatch {
    let outputs = (n * blocks * h_out * w_out) as u32;
    let workgroups = if window.is_some() { outputs.div_ceil(INVOCATIONS) } else { (n * blocks) as u32 };
    let whole = Pool { kind: PoolKind::Mean { count_pad: false }, kernel: [h_in, w_in], stride: [1, 1], pad: [0, 0] };
    let pool = window.unwrap_or(&whole);
    let params = PoolParams {
        width_in: w_in as u32,
        height_in: h_in as u32,
        width_out: w_out as u32,
        height_out: h_out as u32,
        kernel_y: pool.kernel[0] as u32,
        kernel_x: pool.kernel[1] as u32,
        stride_y: pool.stride[0] as u32,
        stride_x: pool.stride[1] as u32,
        pad_y: pool.pad[0] as u32,
        pad_x: pool.pad[1] as u32,
        blocks: blocks as u32,
        outputs,
        workgroups,
        input_offset: input.offset,
        input_stride: input.stride,
        output_offset: output.offset,
        output_stride: output.stride,
        maximum: (pool.kind == PoolKind::Max).into(),
        count_pad: (pool.kind == PoolKind::Mean { count_pad: true }).into(),
    };
    let defines =
        [("WG", INVOCATIONS.into()), ("WINDOW", window.is_some().into()), ("SUMS", sums.into()), ("SUMS_PER_LANE", 1), ("F16", f16.into())];
    Dispatch::new(Kernel::Pool, &defines[..], &params, workgroups)
}
