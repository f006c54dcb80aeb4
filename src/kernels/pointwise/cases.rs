//! What `pointwise` is tested and measured on.

use super::{KERNEL, Problem, lower};
use crate::{
    Result,
    graph::{Activation, Shape},
    kernels::case::{ACTIVATION, Alone, CaseOption, Cases, GATE, Given, NO_BIAS, OUT, RESIDUAL, RESIDUAL_ACTIVATION, layer_input},
    plan::{
        emit::{Owner, TensorView},
        layout::{Layout, PAD},
    },
};

/// GhostNet 1.0's layers of one pixel and, where ghost modules take two dispatches, their primary
/// convolutions; then odd ones.
pub const CASES: Cases = Cases {
    kernel: KERNEL,
    shape: "NxCxHxW",
    options: &[
        OUT,
        ACTIVATION,
        NO_BIAS,
        GATE,
        CaseOption::new("unbounded", "", "The gate may be more than 1"),
        RESIDUAL,
        RESIDUAL_ACTIVATION,
        CaseOption::new("mean", "", "Only the mean of each map is written"),
        CaseOption::new("scattered", "", "The input's blocks lie backwards, and others between them"),
        CaseOption::new("out-parts", "AxB..", "As --parts, of the output"),
    ],
    tile: Some(|choice, tile| choice.pointwise = Some(tile)),
    cases: &[
        "1x160x7x7 --out 960 --activation relu --mean",
        "8x160x7x7 --out 960 --activation relu --mean",
        "1x16x112x112 --out 8 --activation relu",
        "1x48x56x56 --out 12",
        "1x24x56x56 --out 36 --activation relu",
        "1x72x28x28 --out 20 --gate",
        "1x40x28x28 --out 120 --activation relu",
        "1x80x14x14 --out 92 --activation relu",
        "1x672x14x14 --out 56 --gate",
        "1x672x7x7 --out 80 --gate",
        "1x960x7x7 --out 80",
        "8x960x7x7 --out 80",
        "1x1x1x1",
        "2x3x1x7 --out 5 --no-bias",
        "1x13x33x47 --out 10 --activation silu --gate --unbounded --residual",
        "3x6x5x3 --out 9 --parts 5x1 --out-parts 3x6 --residual",
        "2x17x9x10 --out 7 --gate --mean --activation hard_swish",
        "2x10x6x7 --out 21 --parts 3x3x4 --inside 2 --gate --residual --activation relu6",
        "2x63x5x7 --out 66 --activation sigmoid",
        "1x66x9x10 --out 66 --activation hard_sigmoid --residual",
        "1x64x28x28 --out 256 --residual --residual-activation relu",
        "2x13x9x7 --out 70 --activation hard_swish --residual --residual-activation relu6",
        "1x69x14x19 --out 9 --tile 64x2x2x2",
        "1x69x14x19 --out 9 --tile 32x4x1x1 --gate",
        "1x69x14x19 --out 9 --tile 8x1x4x4 --mean",
        "70x2x1x1 --out 3 --gate",
        "2x13x9x7 --out 70 --activation p_relu --residual",
        "2x13x9x7 --out 70 --activation p_relu --mean",
        "1x40x9x7 --out 22 --activation gelu --tile 8x2x4x4",
        "2x66x9x7 --out 22 --scattered --gate --residual",
        "1x58x14x19 --out 58 --parts 29x15x7x7 --activation relu --scattered",
        "2x13x9x7 --out 70 --scattered --mean --tile 8x1x4x4",
    ],
    build,
};

fn build(given: &Given<'_>, alone: &mut Alone<'_>) -> Result<()> {
    let shape = given.shape();
    let out = given.number("out", shape.c)?;
    let (input, gate) = match given.has("scattered") {
        true => {
            let input = scattered(alone, shape, given.layout(shape.c)?)?;
            let gate = given.has("gate").then(|| alone.gate(&input, !given.has("unbounded")));
            (input, gate)
        }
        false => layer_input(given, alone, shape)?,
    };
    let mean = given.has("mean");
    let to = if mean { Shape::new(shape.n, out, 1, 1) } else { Shape { c: out, ..shape } };
    let layout = match given.has("out-parts") {
        true => given.layout_of("out-parts", out)?,
        false => Layout::plain(out),
    };
    let residual = alone.residual(given, to, &layout)?;
    if mean && residual.is_some() {
        return Err(alone.error("--residual and --mean do not go together"));
    }
    let output = alone.output_in("output", to, &layout)?;
    let weight = alone.weight(&[out, shape.c, 1, 1])?;
    let bias = alone.bias(given, out);
    let activation = alone.activation(given, "activation", Activation::Identity, out)?;
    let problem = Problem {
        name: alone.name(),
        owner: Owner::NONE,
        input,
        weight: &weight,
        bias: bias.as_deref(),
        activation: activation.get(),
        gate,
        residual,
        mean,
        output,
    };
    lower(&problem, &mut alone.emit);
    Ok(())
}

/// An input whose blocks lie backwards, each behind one of padding.
fn scattered(alone: &mut Alone<'_>, shape: Shape, layout: Layout) -> Result<TensorView> {
    let backwards = layout.lanes().chunks(4).rev().flat_map(|block| [vec![PAD], block.to_vec()]);
    let whole = alone.input_in("input", shape, &Layout::from_parts(backwards))?;
    let blocks = (0..layout.blocks() as u32).rev().map(|block| 2 * block + 1).collect();
    Ok(TensorView { layout, scattered: Some(blocks), ..whole })
}
