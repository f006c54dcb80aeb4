//! An activation of one tensor, or of the sum or product of two: `shaders/elementwise.wgsl`.

#[doc(hidden)]
pub mod cases;
pub(crate) mod twin;
pub(crate) mod vector;

use crate::{
    graph::{Activated, Calculation, Constant},
    plan::{
        Dispatch, Place,
        emit::{Emitter, Launch, Owner, TensorView},
        pack,
    },
};

params! { pixels, blocks, outputs, workgroups, a_offset, a_stride, b_offset, b_stride, output_offset, output_stride, b_is_gate }

kernel!("elementwise", writes ["output"], twin twin::elementwise, vector vector::elementwise);

/// The second operand.
#[derive(Clone)]
pub enum Operand<'a> {
    /// As the first operand, or `[n, c, 1, 1]`; in the first's layout.
    Tensor(TensorView),
    /// The gate of a squeeze-and-excite: `[n, c, 1, 1]`, f32.
    Gate(TensorView),
    /// `[c]` or `[c, h, w]`, for all images.
    Constant(&'a Constant),
}

/// `activate(calculate(a, b))`.
#[derive(Clone)]
pub struct Problem<'a> {
    /// The step's name.
    pub name: String,
    /// Whose parameter the activation's is.
    pub owner: Owner,
    /// `[n, c, h, w]`.
    pub a: TensorView,
    /// The calculation and its second operand, if there is one.
    pub b: Option<(Calculation, Operand<'a>)>,
    /// Applied to the result.
    pub activation: Activated<'a>,
    /// `[n, c, h, w]`, in the layout of `a`.
    pub output: TensorView,
}

const INVOCATIONS: u32 = 64;

/// Adds the step that solves the problem.
pub fn lower(problem: &Problem<'_>, emit: &mut Emitter<'_>) {
    let Problem { a, b, output, .. } = problem;
    let pixels = output.shape.pixels();
    let of_pixels = |other: usize| other == 1 && pixels > 1;
    let (is_block, place) = match b {
        None => (false, Place::default()),
        Some((_, Operand::Gate(view))) => (true, view.place),
        Some((_, Operand::Tensor(view))) => (of_pixels(view.shape.pixels()), view.place),
        Some((_, Operand::Constant(constant))) => (of_pixels(constant.data.len() / a.shape.c), Place::default()),
    };
    let params = params(output, a.place, place, is_block);
    let defines = [
        ("WG", INVOCATIONS.into()),
        ("OP", b.as_ref().map_or(0, |(by, _)| *by as i64)),
        ("GATE", matches!(b, Some((_, Operand::Gate(_) | Operand::Constant(_)))).into()),
        ("ACTIVATION", problem.activation.define()),
        ("F16", emit.f16().into()),
    ];
    let parameter = problem
        .activation
        .parameter
        .map(|parameter| emit.values(problem.owner, KERNEL, "parameter", 1, &|| pack::vector(Some(parameter), output.layout.lanes(), 1)));
    let launch =
        Launch::new(&problem.name, Dispatch::new(KERNEL, &defines, &params, params.workgroups)).reads("a", a).writes("output", output);
    let launch = match b {
        None => launch,
        Some((_, Operand::Tensor(view) | Operand::Gate(view))) => launch.reads("b", view),
        Some((_, Operand::Constant(constant))) => {
            let pixels = constant.data.len() / a.shape.c;
            let operand = emit.values(problem.owner, KERNEL, "operand", 1, &|| pack::depthwise(&constant.data, a.layout.lanes(), pixels));
            launch.constant("b", operand)
        }
    };
    emit.launch(match parameter {
        Some(parameter) => launch.constant("parameter", parameter),
        None => launch,
    });
}

fn params(output: &TensorView, a: Place, b: Place, is_block: bool) -> Params {
    let (pixels, blocks) = (output.shape.pixels(), output.blocks());
    let outputs = (output.shape.n * pixels * blocks) as u32;
    Params {
        pixels: pixels as u32,
        blocks: blocks as u32,
        outputs,
        workgroups: outputs.div_ceil(INVOCATIONS),
        a_offset: a.offset,
        a_stride: a.stride,
        b_offset: b.offset,
        b_stride: b.stride,
        output_offset: output.place.offset,
        output_stride: output.place.stride,
        b_is_gate: is_block.into(),
    }
}

/// Adds the step that writes a constant `[c, h, w]` for each image of `output`.
pub fn lower_constant(name: &str, owner: Owner, constant: &Constant, output: &TensorView, emit: &mut Emitter<'_>) {
    let pixels = output.shape.pixels();
    let values = emit.weights(owner, KERNEL, 0, &|| pack::depthwise(&constant.data, output.layout.lanes(), pixels));
    let params = params(output, Place::default(), Place::default(), false);
    let defines = [("WG", INVOCATIONS.into()), ("OP", 0), ("GATE", 0), ("ACTIVATION", 0), ("F16", emit.f16().into())];
    emit.launch(
        Launch::new(name, Dispatch::new(KERNEL, &defines, &params, params.workgroups)).constant("a", values).writes("output", output),
    );
}
