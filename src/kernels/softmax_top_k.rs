//! Host side of `shaders/softmax_top_k.wgsl`.

use super::{Dispatch, Kernel};
use crate::plan::Place;

params! {
    /// Parameters of `softmax_top_k`.
    SoftmaxTopKParams { classes, k, workgroups, input_offset, input_stride }
}

/// Invocations that look through the classes of an image.
const INVOCATIONS: u32 = 256;

/// The `k` best of `classes` classes of `n` images; `k <= classes`.
pub fn softmax_top_k(n: usize, classes: usize, k: usize, f16: bool, input: Place) -> Dispatch {
    let params = SoftmaxTopKParams {
        classes: classes as u32,
        k: k as u32,
        workgroups: n as u32,
        input_offset: input.offset,
        input_stride: input.stride,
    };
    Dispatch::new(Kernel::SoftmaxTopK, &[("WG", INVOCATIONS.into()), ("F16", f16.into())], &params, n as u32)
}
