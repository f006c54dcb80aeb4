//! Copies into another order of channels: `shaders/relayout.wgsl`.

#[doc(hidden)]
pub mod cases;
pub(crate) mod twin;
pub(crate) mod vector;

use crate::{
    graph::NodeId,
    plan::{
        Dispatch, Precision,
        emit::{Emitter, Launch, Owner, TensorView},
        layout::{Layout, PAD},
    },
};

params! { pixels, blocks_out, outputs, workgroups, input_offset, input_stride, output_offset, output_stride }

kernel!("relayout", writes ["output"], twin twin::relayout, vector vector::relayout);

/// A copy of a node's result.
#[derive(Clone)]
pub struct Problem {
    /// The step's name.
    pub name: String,
    /// The node.
    pub node: NodeId,
    /// Where its result is.
    pub input: TensorView,
    /// For each physical lane of the output the input's; [`PAD`] is zero.
    pub lanes: Vec<u32>,
    /// `[n, c', h, w]`.
    pub output: TensorView,
}

const INVOCATIONS: u32 = 64;

/// Adds the step that solves the problem; two, where input and output are one buffer.
pub fn lower(problem: &Problem, emit: &mut Emitter<'_>) {
    let Problem { name, node, input, lanes, output } = problem;
    if input.storage == output.storage {
        // A dispatch may not read and write one buffer, so a copy of all lanes is made aside first.
        let aside = emit.tensor(input.shape, input.layout.clone(), input.precision);
        let all = (0..input.layout.lanes().len() as u32).collect();
        lower(&Problem { lanes: all, output: aside.clone(), ..problem.clone() }, emit);
        return lower(&Problem { input: aside, ..problem.clone() }, emit);
    }
    let table = lanes.iter().map(|&lane| if lane == PAD { -1.0 } else { lane as f32 }).collect();
    let table = emit.table(Owner::node(*node), KERNEL, table);
    let (n, pixels, blocks) = (input.shape.n, input.shape.pixels(), lanes.len() / 4);
    let outputs = (n * pixels * blocks) as u32;
    let workgroups = outputs.div_ceil(INVOCATIONS);
    let params = Params {
        pixels: pixels as u32,
        blocks_out: blocks as u32,
        outputs,
        workgroups,
        input_offset: input.place.offset,
        input_stride: input.place.stride,
        output_offset: output.place.offset,
        output_stride: output.place.stride,
    };
    let f16 = input.precision == Precision::F16;
    let dispatch = Dispatch::new(KERNEL, &[("WG", INVOCATIONS.into()), ("F16", f16.into())], &params, workgroups);
    emit.launch(Launch::new(name, dispatch).reads("input", input).constant("table", table).writes("output", output));
}

/// The result of `node`, called `name`, in the layout `wanted`: as it is, or copied.
pub fn in_layout(view: &TensorView, wanted: &Layout, node: NodeId, name: &str, emit: &mut Emitter<'_>) -> TensorView {
    if view.layout == *wanted {
        return view.clone();
    }
    let lane_of = view.layout.lane_of(view.shape.c);
    let lanes = wanted.lanes().iter().map(|&c| if c == PAD { PAD } else { lane_of[c as usize] }).collect();
    let output = emit.tensor(view.shape, wanted.clone(), view.precision);
    let problem = Problem { name: format!("{name}.relayout"), node, input: view.clone(), lanes, output: output.clone() };
    lower(&problem, emit);
    output
}
