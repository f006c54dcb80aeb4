//! What `depthwise` is tested and measured on.

use super::{KERNEL, Problem, lower};
use crate::{
    Result,
    graph::{Activation, Conv, Op, Shape},
    kernels::case::{ACTIVATION, Alone, CaseOption, Cases, Given, NO_BIAS, STRIDE, SUMS},
    plan::{emit::Owner, layout::Layout},
};

/// GhostNet 1.0's strided layers, its shortcuts' and, in two dispatches, its cheap operations; then
/// odd kernels, strides, paddings and multipliers.
pub const CASES: Cases = Cases {
    kernel: KERNEL,
    shape: "NxCxHxW",
    options: &[
        CaseOption::new("kernel", "YxX", "Rows and columns of a filter [default: 3]"),
        STRIDE,
        CaseOption::new("pad", "YxX", "Zeros around the map [default: half of the kernel]"),
        CaseOption::new("multiplier", "N", "Output channels of each input channel [default: 1]"),
        ACTIVATION,
        NO_BIAS,
        SUMS,
        CaseOption::new("in-place", "", "The output is another range of channels of the input's buffer"),
    ],
    tile: None,
    cases: &[
        "1x48x112x112 --stride 2",
        "1x72x56x56 --kernel 5 --stride 2 --sums",
        "1x240x28x28 --stride 2",
        "1x672x14x14 --kernel 5 --stride 2 --sums",
        "8x672x14x14 --kernel 5 --stride 2 --sums",
        "1x8x112x112 --activation relu --in-place",
        "1x336x14x14 --activation relu --sums --in-place",
        "1x480x7x7 --in-place",
        "1x1x1x1",
        "2x2x1x7 --kernel 1 --stride 2 --no-bias",
        "1x3x5x3 --kernel 5 --activation silu",
        "2x5x7x7 --kernel 7 --stride 2 --activation hard_swish --sums",
        "2x6x47x33 --pad 0",
        "2x6x47x33 --stride 2 --pad 4x5",
        "2x6x12x14 --kernel 2x4 --pad 1",
        "2x6x12x14 --kernel 5 --stride 3 --activation relu6",
        "1x6x29x60 --kernel 3x1 --stride 1x2 --pad 1x0",
        "1x6x29x60 --kernel 9x1 --activation sigmoid",
        "2x13x9x10 --stride 2 --activation p_relu --inside 1",
        "1x6x9x10 --multiplier 3 --activation p_relu --sums",
        "1x6x29x60 --kernel 1x5 --activation hard_sigmoid",
        "2x5x7x9 --multiplier 2 --sums",
        "2x6x7x9 --parts 5x1 --multiplier 3 --inside 1",
        "2x6x7x9 --parts 2x4 --in-place",
    ],
    build,
};

fn build(given: &Given<'_>, alone: &mut Alone<'_>) -> Result<()> {
    let shape = given.shape();
    let multiplier = given.number("multiplier", 1)?;
    let kernel = given.pair("kernel", 1, [3, 3])?;
    let stride = given.pair("stride", 1, [1, 1])?;
    let pad = given.pair("pad", 0, kernel.map(|k| k / 2))?;
    let layout = given.layout(shape.c)?;
    let out = shape.c * multiplier;
    let weight = alone.weight(&[out, 1, kernel[0], kernel[1]])?;
    let conv = |weight| Conv { stride, pad, groups: shape.c, ..Conv::new(weight) };
    let to = alone.shape_of(shape, &[&weight], |ids| Op::Conv(conv(ids[0])))?;
    let bias = alone.bias(given, out);
    let layout_out = layout.multiplied(multiplier);
    let (input, output) = if given.has("in-place") {
        if [to.h, to.w] != [shape.h, shape.w] {
            return Err(alone.error(format!("--in-place needs maps of one size, they are {shape} and {to}")));
        }
        let both = Layout::plain(layout.lanes().len() + layout_out.lanes().len());
        let both = alone.buffer(Shape { c: both.lanes().len(), ..shape }, both)?;
        let (input, output) = (both.part(0, shape.c, layout.clone()), both.part(layout.blocks(), out, layout_out));
        (alone.add("input", input, false), alone.add("output", output, true))
    } else {
        (alone.input_in("input", shape, &layout)?, alone.output_in("output", to, &layout_out)?)
    };
    let activation = alone.activation(given, "activation", Activation::Identity, out)?;
    let problem = Problem {
        name: alone.name(),
        owner: Owner::NONE,
        input,
        weight: &weight,
        bias: bias.as_deref(),
        stride,
        pad,
        activation: activation.get(),
        sums: given.has("sums"),
        output,
    };
    lower(&problem, &mut alone.emit);
    Ok(())
}
