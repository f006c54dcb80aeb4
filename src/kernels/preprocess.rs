//! Host side of `shaders/preprocess.wgsl`.

use super::{Dispatch, Kernel};
use crate::plan::Place;

params! {
    /// Parameters of `preprocess`.
    PreprocessParams { outputs, workgroups, pixels, output_offset, output_stride }
}

const INVOCATIONS: u32 = 64;

/// Normalises `n` images of `pixels` pixels.
pub fn preprocess(n: usize, pixels: usize, f16: bool, output: Place) -> Dispatch {
    let outputs = (n * pixels) as u32;
    let workgroups = outputs.div_ceil(INVOCATIONS);
    let params =
        PreprocessParams { outputs, workgroups, pixels: pixels as u32, output_offset: output.offset, output_stride: output.stride };
    Dispatch::new(Kernel::Preprocess, &[("WG", INVOCATIONS.into()), ("F16", f16.into())], &params, workgroups)
}
