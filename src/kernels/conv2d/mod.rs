//! A convolution of any kernel, stride, padding, dilation and groups: `shaders/conv2d.wgsl`.

#[doc(hidden)]
pub mod cases;
pub(crate) mod twin;
pub(crate) mod vector;

use crate::{
    graph::{Activated, Constant},
    plan::{
        Dispatch,
        emit::{Emitter, Launch, Owner, Residual, TensorView},
        pack,
    },
};

params! {
    width_in, height_in, width_out, pixels_out, kernel_y, kernel_x, stride_y, stride_x, pad_y, pad_x, dilation_y, dilation_x, blocks_window,
    blocks_out, first_offset, tiles_pixel, tiles_channel, workgroups, input_offset, input_stride, output_offset, output_stride,
    residual_offset, residual_stride, unscale,
}

kernel!("conv2d", writes ["output"], twin twin::conv2d, vector vector::conv2d);

/// A convolution: `activate(weight * input + bias) + residual`, activated.
///
/// Pairs are (rows, columns).
#[derive(Clone)]
pub struct Problem<'a> {
    /// The step's name.
    pub name: String,
    /// Whose weights these are.
    pub owner: Owner,
    /// `[n, c_in, h, w]`.
    pub input: TensorView,
    /// `[c_out, c_in / groups, kh, kw]`.
    pub weight: &'a Constant,
    /// `[c_out]`.
    pub bias: Option<&'a [f32]>,
    /// From one output pixel to the next.
    pub stride: [usize; 2],
    /// Zeros around the map.
    pub pad: [usize; 2],
    /// From one tap to the next.
    pub dilation: [usize; 2],
    /// Independent groups of channels.
    pub groups: usize,
    /// Applied to the sums.
    pub activation: Activated<'a>,
    /// Added to the activated result.
    pub residual: Option<Residual>,
    /// `[n, c_out, h', w']`.
    pub output: TensorView,
}

/// Adds the step that solves the problem.
pub fn lower(problem: &Problem<'_>, emit: &mut Emitter<'_>) {
    let Problem { input, output, weight, groups, .. } = problem;
    let tile = emit.choice().conv2d(output.blocks());
    let tiling = emit.tiling(tile.blocks);
    let blocks = tiling.blocks;
    let [c_in, c_out] = [input.shape.c, output.shape.c];
    let kernel = [weight.shape[2], weight.shape[3]];
    let windows = pack::Windows::new(&input.layout, &output.layout, blocks, c_in, c_out, *groups);
    let products = emit.products(&weight.data, None);
    let filters = emit.weights(problem.owner, KERNEL, products.variant(tiling), &|| {
        let filters = pack::Filters { values: &products.scaled(&weight.data), c_in, groups: *groups, taps: kernel[0] * kernel[1] };
        pack::conv2d(&filters, &input.layout, &output.layout, tiling, &windows)
    });
    let bias = emit.values(problem.owner, KERNEL, "bias", blocks, &|| {
        let mut bias = pack::bias(problem.bias, problem.activation, output.layout.lanes(), blocks);
        bias.extend(windows.first.iter().flat_map(|&first| [first as f32, 0.0, 0.0, 0.0]));
        bias
    });

    let ([h_in, w_in], [h_out, w_out]) = (input.size(), output.size());
    let tiles_pixel = ((h_out * w_out) as u32).div_ceil(tile.invocations * tile.pixels);
    let tiles_channel = (output.blocks() as u32).div_ceil(tile.blocks);
    let workgroups = output.shape.n as u32 * tiles_channel * tiles_pixel;
    let [residual_offset, residual_stride] = Residual::place(problem.residual.as_ref());
    let params = Params {
        width_in: w_in as u32,
        height_in: h_in as u32,
        width_out: w_out as u32,
        pixels_out: (h_out * w_out) as u32,
        kernel_y: kernel[0] as u32,
        kernel_x: kernel[1] as u32,
        stride_y: problem.stride[0] as u32,
        stride_x: problem.stride[1] as u32,
        pad_y: problem.pad[0] as u32,
        pad_x: problem.pad[1] as u32,
        dilation_y: problem.dilation[0] as u32,
        dilation_x: problem.dilation[1] as u32,
        blocks_window: windows.blocks as u32,
        blocks_out: output.blocks() as u32,
        first_offset: tiles_channel * tile.blocks * problem.activation.vectors(),
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
        ("DEPTH", input.layout.lanes_in_use() as i64),
        ("ACTIVATION", problem.activation.define()),
        residual,
        residual_activation,
        ("F16", products.halves as i64),
    ];
    let launch = Launch::new(&problem.name, Dispatch::new(KERNEL, &defines, &params, workgroups).with_rows(tiling.rows))
        .macs(weight.data.len() * output.shape.n * output.shape.pixels())
        .reads("input", input)
        .constant("weight", filters)
        .constant("bias", bias)
        .reads_if("residual", problem.residual.as_ref().map(|residual| &residual.view))
        .writes("output", output);
    emit.launch(launch);
}
