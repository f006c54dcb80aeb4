//! The largest channels of each pixel: `shaders/top_k.wgsl`.

#[doc(hidden)]
pub mod cases;
pub(crate) mod twin;
pub(crate) mod vector;

use crate::{
    graph::TopK,
    plan::{
        Dispatch,
        emit::{Emitter, Launch, TensorView},
    },
};

params! { channels, pixels, k, outputs, workgroups, input_offset, input_stride, output_offset, output_stride }

kernel!("top_k", writes ["output"], twin twin::top_k, vector vector::top_k);

/// The first channels of each pixel in the order of their values.
#[derive(Clone)]
pub struct Problem {
    /// The step's name.
    pub name: String,
    /// `[n, c, h, w]`, channels in their order.
    pub input: TensorView,
    /// Which, and what of them.
    pub top_k: TopK,
    /// `[n, k, h, w]`, channels in their order.
    pub output: TensorView,
}

const INVOCATIONS: usize = 64;

/// Adds the step that solves the problem.
pub fn lower(problem: &Problem, emit: &mut Emitter<'_>) {
    let Problem { name, input, top_k, output } = problem;
    let outputs = input.shape.n * input.shape.pixels();
    let workgroups = outputs.div_ceil(INVOCATIONS) as u32;
    let params = Params {
        channels: input.shape.c as u32,
        pixels: input.shape.pixels() as u32,
        k: top_k.k as u32,
        outputs: outputs as u32,
        workgroups,
        input_offset: input.place.offset,
        input_stride: input.place.stride,
        output_offset: output.place.offset,
        output_stride: output.place.stride,
    };
    let defines = [
        ("WG", INVOCATIONS as i64),
        ("SMALLEST", top_k.is_smallest.into()),
        ("LAST", top_k.is_last.into()),
        ("PLACES", top_k.places.into()),
        ("F16", emit.f16().into()),
    ];
    let dispatch = Dispatch::new(KERNEL, &defines, &params, workgroups);
    emit.launch(Launch::new(name, dispatch).reads("input", input).writes("output", output));
}
