//! What `separable` is tested and measured on.

use super::{KERNEL, Part, Problem, lower};
use crate::{
    Result,
    graph::{Activation, Conv, Op, Shape},
    kernels::case::{ACTIVATION, Alone, CaseOption, Cases, Given, NO_BIAS, OUT, STRIDE},
    plan::emit::Owner,
};

/// GhostNet 1.0's shortcuts that change shape; then odd ones.
pub const CASES: Cases = Cases {
    kernel: KERNEL,
    shape: "NxCxHxW",
    options: &[
        OUT,
        CaseOption::new("kernel", "YxX", "Rows and columns of a depthwise filter [default: 3]"),
        STRIDE,
        CaseOption::new("pad", "YxX", "Zeros around the map [default: half of the kernel]"),
        CaseOption::new("depthwise-activation", "NAME", "The first convolution's [default: identity]"),
        ACTIVATION,
        NO_BIAS,
    ],
    tile: None,
    cases: &[
        "1x16x112x112 --out 24 --stride 2",
        "1x24x56x56 --out 40 --kernel 5 --stride 2",
        "1x40x28x28 --out 80 --stride 2",
        "1x80x14x14 --out 112",
        "1x112x14x14 --out 160 --kernel 5 --stride 2",
        "8x112x14x14 --out 160 --kernel 5 --stride 2",
        "1x1x1x1",
        "2x2x1x7 --out 5 --kernel 1 --no-bias",
        "1x3x5x3 --out 33 --kernel 5 --stride 2 --activation silu",
        "3x5x7x7 --out 10 --kernel 7 --stride 2 --depthwise-activation relu6",
        "1x10x33x47 --out 2 --kernel 3x5 --stride 3x2 --pad 0x1 --depthwise-activation hard_swish --activation relu",
        "2x13x12x9 --out 70 --depthwise-activation p_relu --activation p_relu",
        "2x13x12x9 --out 21 --parts 6x7 --inside 1 --depthwise-activation sigmoid --activation hard_sigmoid",
    ],
    build,
};

fn build(given: &Given<'_>, alone: &mut Alone<'_>) -> Result<()> {
    let shape = given.shape();
    let out = given.number("out", shape.c)?;
    let kernel = given.pair("kernel", 1, [3, 3])?;
    let stride = given.pair("stride", 1, [1, 1])?;
    let pad = given.pair("pad", 0, kernel.map(|k| k / 2))?;
    let (depthwise, pointwise) = (alone.weight(&[shape.c, 1, kernel[0], kernel[1]])?, alone.weight(&[out, shape.c, 1, 1])?);
    let conv = |weight| Conv { stride, pad, groups: shape.c, ..Conv::new(weight) };
    let middle = alone.shape_of(shape, &[&depthwise], |ids| Op::Conv(conv(ids[0])))?;
    let [depthwise_bias, pointwise_bias] = [shape.c, out].map(|count| alone.bias(given, count));
    let depthwise_activation = alone.activation(given, "depthwise-activation", Activation::Identity, shape.c)?;
    let activation = alone.activation(given, "activation", Activation::Identity, out)?;
    let problem = Problem {
        name: alone.name(),
        owner: Owner::NONE,
        input: alone.input_in("input", shape, &given.layout(shape.c)?)?,
        depthwise: Part { weight: &depthwise, bias: depthwise_bias.as_deref(), activation: depthwise_activation.get() },
        stride,
        pad,
        pointwise: Part { weight: &pointwise, bias: pointwise_bias.as_deref(), activation: activation.get() },
        output: alone.output("output", Shape { c: out, ..middle })?,
    };
    lower(&problem, &mut alone.emit);
    Ok(())
}
