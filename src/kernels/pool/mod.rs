//! The maximum or the mean over a window, or the mean of a whole map: `shaders/pool.wgsl`.

#[doc(hidden)]
pub mod cases;
pub(crate) mod twin;
pub(crate) mod vector;

use crate::{
    graph::{Pool, PoolKind},
    plan::{
        Dispatch, Place,
        emit::{Emitter, Launch, Sums, TensorView},
    },
};

params! {
    width_in, height_in, width_out, height_out, kernel_y, kernel_x, stride_y, stride_x, pad_y, pad_x, blocks, outputs, workgroups,
    input_offset, input_stride, output_offset, output_stride, maximum, count_pad,
}

kernel!("pool", writes ["output"], twin twin::pool, vector vector::pool);

/// Pooling.
#[derive(Clone)]
pub struct Problem {
    /// The step's name.
    pub name: String,
    /// `[n, c, h, w]`.
    pub input: TensorView,
    /// What is pooled over; `None` is the mean of the whole map.
    pub window: Option<Pool>,
    /// `[n, c, h', w']`, in the input's layout.
    pub output: TensorView,
}

/// Invocations of a workgroup: over windows an output each, else of one map.
const INVOCATIONS: u32 = 64;

/// Adds the step that solves the problem.
pub fn lower(problem: &Problem, emit: &mut Emitter<'_>) {
    let Problem { name, input, window, output } = problem;
    let dispatch = dispatch(input, output.size(), window.as_ref(), Some(output.place), emit.f16());
    emit.launch(Launch::new(name, dispatch).reads("input", input).writes("output", output));
}

/// Adds a step that sums up each map of `input`, for a squeeze-and-excite.
pub fn lower_sums(name: String, input: &TensorView, emit: &mut Emitter<'_>) -> Sums {
    let sums = emit.sums(input, 1);
    let dispatch = dispatch(input, [1, 1], None, None, emit.f16());
    let written = input.shape.n * input.blocks() * 16;
    emit.launch(Launch::new(name, dispatch).reads("input", input).binds("output", sums.storage).bytes(0, written));
    sums
}

/// Pooling over a window, or of the whole map: its mean to a place, or without one its sum.
fn dispatch(input: &TensorView, [h_out, w_out]: [usize; 2], window: Option<&Pool>, output: Option<Place>, f16: bool) -> Dispatch {
    let [h_in, w_in] = input.size();
    let (n, blocks) = (input.shape.n, input.blocks());
    let outputs = (n * blocks * h_out * w_out) as u32;
    let workgroups = if window.is_some() { outputs.div_ceil(INVOCATIONS) } else { (n * blocks) as u32 };
    let whole = Pool { kind: PoolKind::Mean { count_pad: false }, kernel: [h_in, w_in], stride: [1, 1], pad: [0, 0], pad_more: [0, 0] };
    let pool = window.unwrap_or(&whole);
    let place = output.unwrap_or_default();
    let params = Params {
        width_in: w_in as u32,
        height_in: h_in as u32,
        width_out: w_out as u32,
        height_out: h_out as u32,
        kernel_y: pool.kernel[0] as u32,
        kernel_x: pool.kernel[1] as u32,
        stride_y: pool.stride[0] as u32,
        stride_x: pool.stride[1] as u32,
        pad_y: pool.pad[0] as u32,
        pad_x: pool.pad[1] as u32,
        blocks: blocks as u32,
        outputs,
        workgroups,
        input_offset: input.place.offset,
        input_stride: input.place.stride,
        output_offset: place.offset,
        output_stride: place.stride,
        maximum: (pool.kind == PoolKind::Max).into(),
        count_pad: (pool.kind == PoolKind::Mean { count_pad: true }).into(),
    };
    let defines = [
        ("WG", INVOCATIONS.into()),
        ("WINDOW", window.is_some().into()),
        ("SUMS", output.is_none().into()),
        ("SUMS_PER_LANE", 1),
        ("F16", f16.into()),
    ];
    Dispatch::new(KERNEL, &defines, &params, workgroups)
}
