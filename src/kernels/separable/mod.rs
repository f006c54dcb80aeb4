//! A depthwise and a 1x1 convolution in one: `shaders/separable.wgsl`.

#[doc(hidden)]
pub mod cases;
pub(crate) mod twin;
pub(crate) mod vector;

use crate::{
    graph::{Activated, Constant},
    plan::{
        Dispatch,
        emit::{Emitter, Launch, Owner, TensorView},
        pack::{self, padded},
    },
};

params! {
    width_in, height_in, width_out, pixels_out, stride_y, stride_x, pad_y, pad_x, blocks_in, blocks_out, depthwise_offset,
    depthwise_bias_offset, tiles_pixel, tiles_channel, workgroups, input_offset, input_stride, output_offset, output_stride,
}

kernel!("separable", writes ["output"], twin twin::separable, vector vector::separable, scratch |dispatch| {
    let params: Params = dispatch.params();
    params.images() * params.middle_len()
});

impl Params {
    /// Images of the launch.
    fn images(&self) -> usize {
        (self.workgroups / (self.tiles_pixel * self.tiles_channel)) as usize
    }

    /// Blocks that the depthwise values of one image take.
    fn middle_len(&self) -> usize {
        self.blocks_in as usize * self.pixels_out as usize
    }
}

/// One of the two convolutions.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// `[c_in, 1, kh, kw]` or `[c_out, c_in, 1, 1]`.
    pub weight: &'a Constant,
    /// A value for each output channel.
    pub bias: Option<&'a [f32]>,
    /// Applied to the sums.
    pub activation: Activated<'a>,
}

/// A depthwise convolution, then a 1x1 convolution; pairs are (rows, columns).
#[derive(Clone)]
pub struct Problem<'a> {
    /// The step's name.
    pub name: String,
    /// Whose weights these are.
    pub owner: Owner,
    /// `[n, c_in, h, w]`.
    pub input: TensorView,
    /// The first convolution.
    pub depthwise: Part<'a>,
    /// Its rows and columns from one output pixel to the next.
    pub stride: [usize; 2],
    /// Zeros around its map.
    pub pad: [usize; 2],
    /// The second convolution.
    pub pointwise: Part<'a>,
    /// `[n, c_out, h', w']`.
    pub output: TensorView,
}

/// Adds the step that solves the problem.
pub fn lower(problem: &Problem<'_>, emit: &mut Emitter<'_>) {
    let Problem { input, output, depthwise, pointwise, .. } = problem;
    let kernel = [depthwise.weight.shape[2], depthwise.weight.shape[3]];
    let taps = kernel[0] * kernel[1];
    let tile = emit.choice().separable(output.blocks());
    let tiling = emit.tiling(tile.blocks);
    let blocks = tiling.blocks;
    let weights = emit.weights(problem.owner, KERNEL, tiling.variant(), &|| {
        let mut weights = pack::tiled_matrix(&pointwise.weight.data, &input.layout, &output.layout, tiling, input.shape.c);
        weights.extend(pack::depthwise(&depthwise.weight.data, input.layout.lanes(), taps));
        weights
    });
    let bias = emit.values(problem.owner, KERNEL, "bias", blocks, &|| {
        let mut bias = pack::bias(pointwise.bias, pointwise.activation, output.layout.lanes(), blocks);
        bias.extend(pack::bias(depthwise.bias, depthwise.activation, input.layout.lanes(), 1));
        bias
    });

    let ([h_in, w_in], [h_out, w_out]) = (input.size(), output.size());
    let tiles_pixel = ((h_out * w_out) as u32).div_ceil(tile.invocations);
    let tiles_channel = (output.blocks() as u32).div_ceil(tile.blocks);
    let workgroups = output.shape.n as u32 * tiles_channel * tiles_pixel;
    let params = Params {
        width_in: w_in as u32,
        height_in: h_in as u32,
        width_out: w_out as u32,
        pixels_out: (h_out * w_out) as u32,
        stride_y: problem.stride[0] as u32,
        stride_x: problem.stride[1] as u32,
        pad_y: problem.pad[0] as u32,
        pad_x: problem.pad[1] as u32,
        blocks_in: input.blocks() as u32,
        blocks_out: output.blocks() as u32,
        depthwise_offset: tiles_channel * padded(input.blocks()) as u32 * tile.blocks * 4,
        depthwise_bias_offset: tiles_channel * tile.blocks * pointwise.activation.vectors(),
        tiles_pixel,
        tiles_channel,
        workgroups,
        input_offset: input.place.offset,
        input_stride: input.place.stride,
        output_offset: output.place.offset,
        output_stride: output.place.stride,
    };
    let defines = [
        ("WG", tile.invocations.into()),
        ("BLOCKS", tile.blocks.into()),
        ("KH", kernel[0] as i64),
        ("KW", kernel[1] as i64),
        ("DEPTHWISE_ACTIVATION", depthwise.activation.define()),
        ("ACTIVATION", pointwise.activation.define()),
        ("F16", emit.f16().into()),
    ];
    let pixels = output.shape.n * output.shape.pixels();
    let launch = Launch::new(&problem.name, Dispatch::new(KERNEL, &defines, &params, workgroups).with_rows(tiling.rows))
        .macs(pixels * (depthwise.weight.data.len() + pointwise.weight.data.len()))
        .reads("input", input)
        .constant("weight", weights)
        .constant("bias", bias)
        .writes("output", output);
    emit.launch(launch);
}
