//! What `ghost` is tested and measured on.

use super::{Cut, KERNEL, Part, Problem, Size, lower};
use crate::{
    Result,
    graph::{Activation, Shape},
    kernels::case::{ACTIVATION, Alone, CaseOption, Cases, GATE, Given, NO_BIAS, OUT, RESIDUAL, RESIDUAL_ACTIVATION, SUMS, layer_input},
    plan::{emit::Owner, layout::Layout},
};

/// Every ghost module of GhostNet 1.0 by its shape; then other ratios and kernels, odd maps and
/// channels.
pub const CASES: Cases = Cases {
    kernel: KERNEL,
    shape: "NxCxHxW",
    options: &[
        OUT,
        CaseOption::new("ratio", "S", "Maps of each intrinsic map, itself included [default: 2]"),
        CaseOption::new("kernel", "D", "Side of the cheap operation's filters, odd [default: 3]"),
        ACTIVATION,
        CaseOption::new("cheap-activation", "NAME", "The cheap operation's [default: the other's]"),
        NO_BIAS,
        GATE,
        CaseOption::new("unbounded", "", "The gate may be more than 1"),
        RESIDUAL,
        RESIDUAL_ACTIVATION,
        SUMS,
    ],
    tile: Some(|choice, tile| choice.ghost = [Some(tile); 3]),
    cases: &[
        "1x16x112x112 --out 16 --activation relu",
        "1x16x112x112 --out 16 --residual",
        "1x16x112x112 --out 48 --activation relu",
        "1x48x56x56 --out 24 --residual",
        "1x24x56x56 --out 72 --activation relu",
        "1x72x56x56 --out 24 --residual",
        "1x72x28x28 --out 40 --gate --residual",
        "1x40x28x28 --out 120 --activation relu --sums",
        "1x120x28x28 --out 40 --gate --residual",
        "1x40x28x28 --out 240 --activation relu",
        "1x240x14x14 --out 80 --residual",
        "1x80x14x14 --out 200 --activation relu",
        "1x200x14x14 --out 80 --residual",
        "1x80x14x14 --out 184 --activation relu",
        "1x184x14x14 --out 80 --residual",
        "1x80x14x14 --out 480 --activation relu --sums",
        "1x480x14x14 --out 112 --gate --residual",
        "1x112x14x14 --out 672 --activation relu --sums",
        "1x672x14x14 --out 112 --gate --residual",
        "1x112x14x14 --out 672 --activation relu",
        "1x672x7x7 --out 160 --gate --residual",
        "1x160x7x7 --out 960 --activation relu",
        "1x160x7x7 --out 960 --activation relu --sums",
        "1x960x7x7 --out 160 --residual",
        "1x960x7x7 --out 160 --gate --residual",
        "8x960x7x7 --out 160 --gate --residual",
        "1x1x1x1 --out 2",
        "2x2x1x7 --out 5 --activation silu --no-bias",
        "1x3x5x3 --out 7 --kernel 1 --activation hard_swish",
        "3x5x7x7 --out 10 --ratio 3 --activation relu6 --cheap-activation sigmoid --residual",
        "1x10x33x47 --out 22 --ratio 4 --activation hard_sigmoid",
        "1x10x33x47 --out 7 --kernel 5 --gate --unbounded",
        "2x13x12x9 --out 6 --kernel 7 --sums",
        "2x13x12x9 --out 20 --parts 6x7 --inside 1 --gate --residual",
        "2x66x9x10 --out 11 --gate",
        "1x5x15x62 --out 14 --activation relu",
        "2x13x9x11 --out 27 --ratio 3 --activation p_relu --residual",
        "1x16x32x32 --out 16 --residual --residual-activation relu",
        "2x13x9x11 --out 27 --ratio 3 --activation silu --residual --residual-activation relu6",
        "1x24x20x20 --out 21 --activation relu --cheap-activation p_relu",
        "1x10x7x7 --out 38 --kernel 5 --activation p_relu --cheap-activation identity --sums",
        "1x69x14x19 --out 9 --tile 64x2x2x2 --residual",
        "1x69x14x19 --out 9 --tile 8x8x1x4 --gate --sums",
    ],
    build,
};

fn build(given: &Given<'_>, alone: &mut Alone<'_>) -> Result<()> {
    let shape = given.shape();
    let out = given.number("out", shape.c)?;
    let (ratio, d) = (given.number_from("ratio", 2, 2)?, given.number("kernel", 3)?);
    let m = out.div_ceil(ratio);
    if d % 2 == 0 {
        return Err(alone.error(format!("--kernel {d} should be odd")));
    }
    let (input, gate) = layer_input(given, alone, shape)?;
    let (to, layout) = (Shape { c: out, ..shape }, Layout::ghost(m, ratio - 1, out));
    let residual = alone.residual(given, to, &layout)?;
    let sums = given.has("sums");
    if sums && (residual.is_some() || ratio != 2) {
        return Err(alone.error("--sums is for modules of ratio 2 without a residual"));
    }
    let blocks = [input.blocks(), Layout::plain(m).blocks()];
    let size = Size { n: shape.n, map: [shape.h, shape.w], blocks, d, gate: gate.is_some(), sums };
    let cut = Cut::new(&size, alone.emit.choice());
    let cut = cut.ok_or_else(|| alone.error(format!("workgroup memory has no room for filters of {d} x {d}")))?;
    let [primary, cheap] = [[m, shape.c, 1, 1], [m * (ratio - 1), 1, d, d]].map(|shape| alone.weight(&shape));
    let (primary, cheap) = (primary?, cheap?);
    let [primary_bias, cheap_bias] = [m, m * (ratio - 1)].map(|count| alone.bias(given, count));
    let activation = alone.activation(given, "activation", Activation::Identity, m)?;
    let cheap_activation = alone.activation(given, "cheap-activation", activation.get().by, m * (ratio - 1))?;
    let problem = Problem {
        name: alone.name(),
        owner: Owner::NONE,
        input,
        primary: Part { weight: &primary, bias: primary_bias.as_deref(), activation: activation.get() },
        cheap: Part { weight: &cheap, bias: cheap_bias.as_deref(), activation: cheap_activation.get() },
        gate,
        residual,
        sums,
        output: alone.output_in("output", to, &layout)?,
    };
    lower(&problem, cut, &mut alone.emit);
    Ok(())
}
