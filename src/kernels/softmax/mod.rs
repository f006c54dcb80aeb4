//! Shares of channels: `shaders/softmax.wgsl`.

#[doc(hidden)]
pub mod cases;
pub(crate) mod twin;
pub(crate) mod vector;

use crate::plan::{
    Dispatch,
    emit::{Emitter, Launch, TensorView},
};

params! { channels, blocks, pixels, outputs, workgroups, input_offset, input_stride, output_offset, output_stride }

kernel!("softmax", writes ["output"], twin twin::softmax, vector vector::softmax);

/// The softmax over the channels of each pixel.
#[derive(Clone)]
pub struct Problem {
    /// The step's name.
    pub name: String,
    /// `[n, c, h, w]`, channels in their order.
    pub input: TensorView,
    /// `[n, c, h, w]`, channels in their order.
    pub output: TensorView,
}

const INVOCATIONS: usize = 64;

/// Adds the step that solves the problem.
pub fn lower(problem: &Problem, emit: &mut Emitter<'_>) {
    let Problem { name, input, output } = problem;
    let blocks = input.blocks();
    // As many invocations on a pixel as it has blocks, so that few idle.
    let lanes = blocks.next_power_of_two().min(INVOCATIONS);
    let outputs = input.shape.n * input.shape.pixels();
    let workgroups = outputs.div_ceil(INVOCATIONS / lanes) as u32;
    let params = Params {
        channels: input.shape.c as u32,
        blocks: blocks as u32,
        pixels: input.shape.pixels() as u32,
        outputs: outputs as u32,
        workgroups,
        input_offset: input.place.offset,
        input_stride: input.place.stride,
        output_offset: output.place.offset,
        output_stride: output.place.stride,
    };
    let defines = [("WG", INVOCATIONS as i64), ("LANES", lanes as i64), ("F16", emit.f16().into())];
    let dispatch = Dispatch::new(KERNEL, &defines, &params, workgroups);
    emit.launch(Launch::new(name, dispatch).reads("input", input).writes("output", output));
}
