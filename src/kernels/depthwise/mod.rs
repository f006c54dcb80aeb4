//! A convolution of each channel by itself: `shaders/depthwise.wgsl`.

#[doc(hidden)]
pub mod cases;
pub(crate) mod twin;
pub(crate) mod vector;

use crate::{
    graph::{Activated, Constant},
    plan::{
        Dispatch,
        emit::{Emitter, Launch, Owner, Sums, TensorView},
        pack,
    },
};

params! {
    width_in, height_in, width_out, height_out, pad_x, pad_y, blocks_in, blocks_out, tiles, workgroups, input_offset, input_stride,
    output_offset, output_stride,
}

kernel!("depthwise", writes ["output", "sums"], twin twin::depthwise, vector vector::depthwise);

/// A depthwise convolution: `activate(weight * input + bias)`, channel by channel; pairs are (rows,
/// columns).
#[derive(Clone)]
pub struct Problem<'a> {
    /// The step's name.
    pub name: String,
    /// Whose weights these are.
    pub owner: Owner,
    /// `[n, c_in, h, w]`.
    pub input: TensorView,
    /// `[c_out, 1, kh, kw]`, `c_out` a multiple of `c_in`.
    pub weight: &'a Constant,
    /// `[c_out]`.
    pub bias: Option<&'a [f32]>,
    /// From one output pixel to the next.
    pub stride: [usize; 2],
    /// Zeros around the map.
    pub pad: [usize; 2],
    /// Applied to the sums.
    pub activation: Activated<'a>,
    /// Whether a squeeze-and-excite wants each channel's sum.
    pub sums: bool,
    /// `[n, c_out, h', w']`; may be another range of the input's storage.
    pub output: TensorView,
}

/// Adds the step that solves the problem; gives the sums, where they are wanted.
pub fn lower(problem: &Problem<'_>, emit: &mut Emitter<'_>) -> Option<Sums> {
    let Problem { input, output, weight, .. } = problem;
    let kernel = [weight.shape[2], weight.shape[3]];
    let taps = kernel[0] * kernel[1];
    let filters = emit.weights(problem.owner, KERNEL, 1, &|| pack::depthwise(&weight.data, output.layout.lanes(), taps));
    let bias = emit.values(problem.owner, KERNEL, "bias", 1, &|| pack::bias(problem.bias, problem.activation, output.layout.lanes(), 1));

    let ([h_in, w_in], [h_out, w_out]) = (input.size(), output.size());
    let tile = emit.choice().depthwise(w_out, taps);
    let tiles = (w_out.div_ceil(tile.pixels as usize) * h_out).div_ceil(tile.invocations as usize);
    let workgroups = (output.shape.n * output.blocks() * tiles) as u32;
    let params = Params {
        width_in: w_in as u32,
        height_in: h_in as u32,
        width_out: w_out as u32,
        height_out: h_out as u32,
        pad_x: problem.pad[1] as u32,
        pad_y: problem.pad[0] as u32,
        blocks_in: input.blocks() as u32,
        blocks_out: output.blocks() as u32,
        tiles: tiles as u32,
        workgroups,
        input_offset: input.place.offset,
        input_stride: input.place.stride,
        output_offset: output.place.offset,
        output_stride: output.place.stride,
    };
    let same = input.storage == output.storage;
    let defines = [
        ("WG", tile.invocations.into()),
        ("PIXELS", tile.pixels.into()),
        ("KH", kernel[0] as i64),
        ("KW", kernel[1] as i64),
        ("STRIDE_Y", problem.stride[0] as i64),
        ("STRIDE_X", problem.stride[1] as i64),
        ("SAME", same.into()),
        ("SUMS", problem.sums.into()),
        ("SUMS_PER_LANE", problem.sums.into()),
        ("ACTIVATION", problem.activation.define()),
        ("F16", emit.f16().into()),
    ];
    let sums = problem.sums.then(|| emit.sums(output, tiles));
    let launch = Launch::new(&problem.name, Dispatch::new(KERNEL, &defines, &params, workgroups))
        .macs(output.shape.n * output.shape.pixels() * weight.data.len())
        .constant("weight", filters)
        .constant("bias", bias)
        .writes("output", output)
        .binds_if("sums", sums.map(|sums| sums.storage));
    // A dispatch may bind a buffer only once, so one that it reads and writes is its output.
    let launch = if same { launch.bytes(input.bytes() as usize, 0) } else { launch.reads("input", input) };
    emit.launch(launch);
    sums
}
