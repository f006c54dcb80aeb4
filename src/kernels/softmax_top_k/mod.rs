//! The most probable classes: `shaders/softmax_top_k.wgsl`.

#[doc(hidden)]
pub mod cases;
pub(crate) mod twin;
pub(crate) mod vector;

use crate::plan::{
    Dispatch,
    emit::{Emitter, Launch, Storage, TensorView},
};

params! { classes, k, workgroups, input_offset, input_stride }

kernel!("softmax_top_k", writes ["output"], twin twin::softmax_top_k, vector vector::softmax_top_k);

/// The `k` best of all classes of each image.
#[derive(Clone)]
pub struct Problem {
    /// Logits `[n, classes, 1, 1]`, class c in lane c.
    pub input: TensorView,
    /// At most the number of classes.
    pub k: usize,
}

/// Invocations that look through the classes of an image.
const INVOCATIONS: u32 = 256;

/// Adds the step that solves the problem; gives the buffer of its pairs `[n][k]` of a class and its
/// probability's bits.
pub fn lower(problem: &Problem, emit: &mut Emitter<'_>) -> Storage {
    let Problem { input, k } = problem;
    let n = input.shape.n;
    let bytes = n * k * 8;
    let pairs = emit.storage(bytes);
    let params = Params {
        classes: input.shape.c as u32,
        k: *k as u32,
        workgroups: n as u32,
        input_offset: input.place.offset,
        input_stride: input.place.stride,
    };
    let dispatch = Dispatch::new(KERNEL, &[("WG", INVOCATIONS.into()), ("F16", emit.f16().into())], &params, n as u32);
    emit.launch(Launch::new("softmax_top_k", dispatch).reads("input", input).binds("output", pairs).bytes(0, bytes));
    pairs
}
