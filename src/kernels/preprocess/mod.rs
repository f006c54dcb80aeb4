//! 8-bit pixels to a normalised input: `shaders/preprocess.wgsl`.

#[doc(hidden)]
pub mod cases;
pub(crate) mod twin;
pub(crate) mod vector;

use crate::plan::{
    Dispatch,
    emit::{Emitter, Launch, Owner, Storage, TensorView},
};

params! { outputs, workgroups, pixels, output_offset, output_stride }

kernel!("preprocess", writes ["output"], twin twin::preprocess, vector vector::preprocess);

/// Normalisation of pixels: `(pixel / 255 - mean) / std`, channel by channel.
#[derive(Clone)]
pub struct Problem {
    /// Each channel's mean, of values in 0 ..= 1.
    pub mean: [f32; 3],
    /// Each channel's standard deviation, of values in 0 ..= 1.
    pub std: [f32; 3],
    /// `[n, 3, h, w]`.
    pub output: TensorView,
}

const INVOCATIONS: u32 = 64;

/// Adds the step that solves the problem; gives the buffer of its pixels, one RGBA8 word each.
pub fn lower(problem: &Problem, emit: &mut Emitter<'_>) -> Storage {
    let Problem { mean, std, output } = problem;
    let lane = |f: &dyn Fn(usize) -> f32| [f(0), f(1), f(2), 0.0];
    // v = (x / 255 - mean) / std, as one multiply-add.
    let scale = lane(&|c| (1.0 / (255.0 * f64::from(std[c]))) as f32);
    let shift = lane(&|c| (-f64::from(mean[c]) / f64::from(std[c])) as f32);
    let scale_shift = emit.values(Owner::NONE, KERNEL, "scale_shift", 0, &|| [scale, shift].concat());
    let (n, pixels) = (output.shape.n, output.shape.pixels());
    let words = emit.storage(n * pixels * 4);
    let outputs = (n * pixels) as u32;
    let workgroups = outputs.div_ceil(INVOCATIONS);
    let params =
        Params { outputs, workgroups, pixels: pixels as u32, output_offset: output.place.offset, output_stride: output.place.stride };
    let dispatch = Dispatch::new(KERNEL, &[("WG", INVOCATIONS.into()), ("F16", emit.f16().into())], &params, workgroups);
    let launch = Launch::new("preprocess", dispatch)
        .binds("pixels", words)
        .bytes(n * pixels * 4, 0)
        .constant("scale_shift", scale_shift)
        .writes("output", output);
    emit.launch(launch);
    words
}
