//! What `conv2d` is tested and measured on.

use super::{KERNEL, Problem, lower};
use crate::{
    Result,
    graph::{Activation, Conv, Op},
    kernels::case::{ACTIVATION, Alone, CaseOption, Cases, Given, NO_BIAS, OUT, RESIDUAL, RESIDUAL_ACTIVATION, STRIDE},
    plan::{emit::Owner, layout::Layout},
};

/// GhostNet's stem for photographs and for small images; then kernels, strides, paddings, dilations
/// and groups of every kind.
pub const CASES: Cases = Cases {
    kernel: KERNEL,
    shape: "NxCxHxW",
    options: &[
        OUT,
        CaseOption::new("kernel", "YxX", "Rows and columns of a filter [default: 3]"),
        STRIDE,
        CaseOption::new("pad", "YxX", "Zeros around the map [default: half of the kernel]"),
        CaseOption::new("dilation", "YxX", "From one tap to the next [default: 1]"),
        CaseOption::new("groups", "N", "Independent groups of channels [default: 1]"),
        ACTIVATION,
        NO_BIAS,
        RESIDUAL,
        RESIDUAL_ACTIVATION,
    ],
    tile: Some(|choice, tile| choice.conv2d = Some(tile)),
    cases: &[
        "1x3x224x224 --out 16 --stride 2 --activation relu",
        "1x3x32x32 --out 8 --activation relu",
        "8x3x32x32 --out 8 --activation relu",
        "1x1x1x1",
        "2x2x1x7 --out 5 --kernel 1x3",
        "1x3x5x3 --out 10 --kernel 1 --stride 2 --pad 0 --no-bias",
        "2x5x7x7 --out 13 --kernel 5 --stride 2 --activation silu",
        "1x10x33x47 --out 3 --kernel 7",
        "1x10x33x47 --out 9 --kernel 7x5 --stride 3 --pad 4 --activation sigmoid",
        "2x13x12x9 --out 20 --pad 2 --dilation 2 --activation hard_swish",
        "2x13x12x9 --out 26 --stride 2x1 --pad 0x2 --dilation 1x3 --activation relu6",
        "2x5x7x8 --out 39 --activation p_relu",
        "1x12x7x5 --out 24 --groups 3 --activation p_relu",
        "2x12x7x5 --out 8 --groups 4 --activation hard_sigmoid",
        "1x6x9x9 --out 9 --groups 3 --kernel 3x1",
        "2x7x6x6 --out 5 --parts 3x4 --inside 1",
        "1x16x32x32 --out 16 --residual --residual-activation relu",
        "2x13x12x9 --out 21 --kernel 5x3 --stride 2 --pad 2x1 --activation silu --residual --residual-activation relu6",
        "1x12x7x5 --out 24 --groups 3 --activation p_relu --residual",
        "1x9x14x19 --out 33 --tile 8x8x4x1",
        "1x9x14x19 --out 33 --tile 128x2x2x1",
    ],
    build,
};

fn build(given: &Given<'_>, alone: &mut Alone<'_>) -> Result<()> {
    let shape = given.shape();
    let out = given.number("out", shape.c)?;
    let kernel = given.pair("kernel", 1, [3, 3])?;
    let stride = given.pair("stride", 1, [1, 1])?;
    let pad = given.pair("pad", 0, kernel.map(|k| k / 2))?;
    let dilation = given.pair("dilation", 1, [1, 1])?;
    let groups = given.number("groups", 1)?;
    let weight = alone.weight(&[out, shape.c / groups, kernel[0], kernel[1]])?;
    let conv = |weight| Conv { stride, pad, dilation, groups, ..Conv::new(weight) };
    let to = alone.shape_of(shape, &[&weight], |ids| Op::Conv(conv(ids[0])))?;
    let bias = alone.bias(given, out);
    let activation = alone.activation(given, "activation", Activation::Identity, out)?;
    let residual = alone.residual(given, to, &Layout::plain(out))?;
    let problem = Problem {
        name: alone.name(),
        owner: Owner::NONE,
        input: alone.input_in("input", shape, &given.layout(shape.c)?)?,
        weight: &weight,
        bias: bias.as_deref(),
        stride,
        pad,
        dilation,
        groups,
        activation: activation.get(),
        residual,
        output: alone.output("output", to)?,
    };
    lower(&problem, &mut alone.emit);
    Ok(())
}
