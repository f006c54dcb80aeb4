//! A 1x1 convolution, with what comes before and after it: `shaders/pointwise.wgsl`.

#[doc(hidden)]
pub mod cases;
pub(crate) mod twin;
pub(crate) mod vector;

use crate::{
    graph::{Activated, Constant},
    plan::{
        Dispatch,
        emit::{Emitter, Gate, Launch, Owner, Residual, TensorView},
        pack,
    },
};

params! {
    pixels, blocks_in, blocks_out, tiles_pixel, tiles_channel, workgroups, input_offset, input_stride, output_offset, output_stride,
    residual_offset, residual_stride, unscale,
}

kernel!("pointwise", writes ["output"], twin twin::pointwise, vector vector::pointwise);

/// A 1x1 convolution: `activate(weight * (input * gate) + bias) + residual`, activated, or the mean
/// over each map.
#[derive(Clone)]
pub struct Problem<'a> {
    /// The step's name.
    pub name: String,
    /// Whose weights these are.
    pub owner: Owner,
    /// `[n, c_in, h, w]`; its blocks may be scattered.
    pub input: TensorView,
    /// `[c_out, c_in, 1, 1]`.
    pub weight: &'a Constant,
    /// `[c_out]`.
    pub bias: Option<&'a [f32]>,
    /// Applied to the sums.
    pub activation: Activated<'a>,
    /// Scales the input's channels.
    pub gate: Option<Gate>,
    /// Added to the activated result.
    pub residual: Option<Residual>,
    /// Only the mean of each map is written.
    pub mean: bool,
    /// `[n, c_out, h, w]`, or `[n, c_out, 1, 1]` of means.
    pub output: TensorView,
}

/// Adds the step that solves the problem.
pub fn lower(problem: &Problem<'_>, emit: &mut Emitter<'_>) {
    let Problem { input, output, weight, .. } = problem;
    let shape = input.shape;
    let pixels = shape.pixels();
    let [blocks_in, blocks_out] = [input.blocks(), output.blocks()];
    let tile = emit.choice().pointwise(shape.n, pixels, [blocks_in, blocks_out], (problem.gate.is_some(), problem.mean));
    let tiling = emit.tiling(tile.blocks);
    let blocks = tiling.blocks;
    let products = emit.products(&weight.data, problem.gate.as_ref());
    let weights = emit.weights(problem.owner, KERNEL, products.variant(tiling), &|| {
        pack::tiled_matrix(&products.scaled(&weight.data), &input.layout, &output.layout, tiling, shape.c)
    });
    let bias =
        emit.values(problem.owner, KERNEL, "bias", blocks, &|| pack::bias(problem.bias, problem.activation, output.layout.lanes(), blocks));

    let scattered = input.scattered.as_ref().map(|blocks| {
        let mut blocks: Vec<f32> = blocks.iter().map(|&block| block as f32).collect();
        blocks.resize(pack::padded(blocks.len()), 0.0);
        emit.table(problem.owner, KERNEL, blocks)
    });

    let tiles_pixel = (pixels as u32).div_ceil(tile.invocations * tile.pixels);
    let tiles_channel = (blocks_out as u32).div_ceil(tile.blocks);
    let workgroups = shape.n as u32 * tiles_channel * if problem.mean { 1 } else { tiles_pixel };
    let [residual_offset, residual_stride] = Residual::place(problem.residual.as_ref());
    let params = Params {
        pixels: pixels as u32,
        blocks_in: blocks_in as u32,
        blocks_out: blocks_out as u32,
        tiles_pixel,
        tiles_channel,
        workgroups,
        input_offset: input.place.offset,
        input_stride: input.place.stride,
        output_offset: output.place.offset,
        output_stride: output.place.stride,
        residual_offset,
        residual_stride,
        unscale: products.unscale(),
    };
    let [residual, residual_activation] = Residual::defines(problem.residual.as_ref());
    let defines = [
        ("WG", tile.invocations.into()),
        ("PIXELS", tile.pixels.into()),
        ("BLOCKS", tile.blocks.into()),
        ("UNROLL", tile.unroll.into()),
        ("SCATTERED", input.scattered.is_some().into()),
        ("GATE", problem.gate.is_some().into()),
        ("POOL", problem.mean.into()),
        ("SUMS_PER_LANE", if problem.mean { tile.blocks.into() } else { 0 }),
        ("ACTIVATION", problem.activation.define()),
        residual,
        residual_activation,
        ("F16", products.halves as i64),
    ];
    let launch = Launch::new(&problem.name, Dispatch::new(KERNEL, &defines, &params, workgroups).with_rows(tiling.rows))
        .macs(weight.data.len() * shape.n * pixels)
        .reads("input", input)
        .constant("weight", weights)
        .constant("bias", bias)
        .reads_if("gate", problem.gate.as_ref().map(|gate| &gate.view))
        .reads_if("residual", problem.residual.as_ref().map(|residual| &residual.view))
        .constant_if("blocks", scattered)
        .writes("output", output);
    emit.launch(launch);
}
