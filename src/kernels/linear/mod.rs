//! A matrix times a vector: `shaders/linear.wgsl`.

#[doc(hidden)]
pub mod cases;
pub(crate) mod twin;
pub(crate) mod vector;

use crate::{
    graph::{Activated, Constant},
    plan::{
        Dispatch,
        emit::{Emitter, Launch, Owner, TensorView},
        pack,
    },
};

params! { blocks_in, blocks_out, workgroups, input_offset, input_stride, output_offset, output_stride }

kernel!("linear", writes ["output"], twin twin::linear, vector vector::linear);

/// A linear layer on one-pixel maps: `activate(weight * input + bias)`.
#[derive(Clone)]
pub struct Problem<'a> {
    /// The step's name.
    pub name: String,
    /// Whose weights these are.
    pub owner: Owner,
    /// `[n, c_in, 1, 1]`.
    pub input: TensorView,
    /// `[c_out, c_in]`, or `[c_out, c_in, 1, 1]`.
    pub weight: &'a Constant,
    /// `[c_out]`.
    pub bias: Option<&'a [f32]>,
    /// Applied to the sums.
    pub activation: Activated<'a>,
    /// `[n, c_out, 1, 1]`.
    pub output: TensorView,
}

/// Invocations that share an output block's sum.
const INVOCATIONS: u32 = 64;

/// Adds the step that solves the problem.
pub fn lower(problem: &Problem<'_>, emit: &mut Emitter<'_>) {
    let Problem { input, output, weight, .. } = problem;
    let tiling = emit.matrix_tiling();
    let matrix = emit.weights(problem.owner, KERNEL, tiling.variant(), &|| match tiling.rows {
        true => pack::tiled_matrix(&weight.data, &input.layout, &output.layout, tiling, input.shape.c),
        false => pack::matrix(&weight.data, &input.layout, &output.layout, input.shape.c),
    });
    let bias = emit.values(problem.owner, KERNEL, "bias", tiling.blocks, &|| {
        pack::bias(problem.bias, problem.activation, output.layout.lanes(), tiling.blocks)
    });
    let workgroups = (output.shape.n * output.blocks()) as u32;
    let params = Params {
        blocks_in: input.blocks() as u32,
        blocks_out: output.blocks() as u32,
        workgroups,
        input_offset: input.place.offset,
        input_stride: input.place.stride,
        output_offset: output.place.offset,
        output_stride: output.place.stride,
    };
    let defines =
        [("WG", INVOCATIONS.into()), ("SUMS_PER_LANE", 1), ("ACTIVATION", problem.activation.define()), ("F16", emit.f16().into())];
    let launch = Launch::new(&problem.name, Dispatch::new(KERNEL, &defines, &params, workgroups).with_rows(tiling.rows))
        .macs(output.shape.n * weight.data.len())
        .reads("input", input)
        .constant("weight", matrix)
        .constant("bias", bias)
        .writes("output", output);
    emit.launch(launch);
}
