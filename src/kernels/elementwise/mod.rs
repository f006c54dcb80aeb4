//! An activation of one tensor, or of the sum or product of two: `shaders/elementwise.wgsl`.

#[doc(hidden)]
pub mod cases;
pub(crate) mod twin;
pub(crate) mod vector;

use crate::{
    graph::Activated,
    plan::{
        Dispatch,
        emit::{Emitter, Launch, Owner, TensorView},
        pack,
    },
};

params! { pixels, blocks, outputs, workgroups, a_offset, a_stride, b_offset, b_stride, output_offset, output_stride, b_is_gate }

kernel!("elementwise", writes ["output"], twin twin::elementwise, vector vector::elementwise);

/// How the second operand is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It is added.
    Add = 1,
    /// It is multiplied by.
    Multiply = 2,
}

/// The second operand.
#[derive(Clone)]
pub struct Operand {
    /// What is done with it.
    pub operation: Operation,
    /// As the first operand, or `[n, c, 1, 1]`; in the first's layout.
    pub view: TensorView,
    /// It is the gate of a squeeze-and-excite: `[n, c, 1, 1]`, f32.
    pub is_gate: bool,
}

/// `activate(a OP b)`.
#[derive(Clone)]
pub struct Problem<'a> {
    /// The step's name.
    pub name: String,
    /// Whose parameter the activation's is.
    pub owner: Owner,
    /// `[n, c, h, w]`.
    pub a: TensorView,
    /// The second operand, if there is one.
    pub b: Option<Operand>,
    /// Applied to the result.
    pub activation: Activated<'a>,
    /// `[n, c, h, w]`, in the layout of `a`.
    pub output: TensorView,
}

const INVOCATIONS: u32 = 64;

/// Adds the step that solves the problem.
pub fn lower(problem: &Problem<'_>, emit: &mut Emitter<'_>) {
    let Problem { a, b, output, .. } = problem;
    let (n, pixels) = (output.shape.n, output.shape.pixels());
    let outputs = (n * pixels * output.blocks()) as u32;
    let workgroups = outputs.div_ceil(INVOCATIONS);
    let one_pixel = b.as_ref().is_some_and(|b| b.is_gate || (b.view.shape.pixels() == 1 && pixels > 1));
    let params = Params {
        pixels: pixels as u32,
        blocks: output.blocks() as u32,
        outputs,
        workgroups,
        a_offset: a.place.offset,
        a_stride: a.place.stride,
        b_offset: b.as_ref().map_or(0, |b| b.view.place.offset),
        b_stride: b.as_ref().map_or(0, |b| b.view.place.stride),
        output_offset: output.place.offset,
        output_stride: output.place.stride,
        b_is_gate: one_pixel.into(),
    };
    let defines = [
        ("WG", INVOCATIONS.into()),
        ("OP", b.as_ref().map_or(0, |b| b.operation as i64)),
        ("GATE", b.as_ref().is_some_and(|b| b.is_gate).into()),
        ("ACTIVATION", problem.activation.define()),
        ("F16", emit.f16().into()),
    ];
    let parameter = problem.activation.parameter.map(|parameter| {
        emit.values(problem.owner, KERNEL, "parameter", 1, &|| pack::vector(Some(parameter), output.layout.lanes(), 1))
    });
    let launch = Launch::new(&problem.name, Dispatch::new(KERNEL, &defines, &params, workgroups))
        .reads("a", a)
        .reads_if("b", b.as_ref().map(|b| &b.view))
        .writes("output", output);
    emit.launch(match parameter {
        Some(parameter) => launch.constant("parameter", parameter),
        None => launch,
    });
}
