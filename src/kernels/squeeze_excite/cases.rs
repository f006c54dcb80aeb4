//! What `squeeze_excite` is tested and measured on.

use super::{KERNEL, Layer, Problem, lower};
use crate::{
    Result,
    graph::{Activation, Shape, SqueezeExcite},
    kernels::case::{ACTIVATION, Alone, CaseOption, Cases, Given, NO_BIAS},
    plan::{Precision, emit::Owner},
};

/// GhostNet 1.0's; then every size of the kernel up to its limits.
pub const CASES: Cases = Cases {
    kernel: KERNEL,
    shape: "NxCxHxW",
    options: &[
        CaseOption::new("reduced", "R", "Channels between the two layers [default: a quarter]"),
        CaseOption::new("tiles", "N", "Tiles whose sums the mean is made of [default: 1]"),
        CaseOption::new("reduce-activation", "NAME", "The first layer's [default: relu]"),
        CaseOption { about: "The gate's [default: hard_sigmoid]", ..ACTIVATION },
        NO_BIAS,
    ],
    tile: None,
    cases: &[
        "1x72x28x28 --reduced 20 --tiles 4",
        "1x120x28x28 --reduced 32 --tiles 4",
        "1x480x14x14 --reduced 120",
        "1x672x14x14 --reduced 168",
        "1x672x7x7 --reduced 168",
        "1x960x7x7 --reduced 240",
        "8x960x7x7 --reduced 240",
        "2x1x3x2 --reduced 1",
        "2x130x5x7 --reduced 33 --tiles 3 --no-bias",
        "1x1024x1x1 --reduced 256",
        "2x1028x2x1 --reduced 8 --activation sigmoid",
        "1x2048x1x2 --reduced 512",
        "4x2048x1x1 --reduced 512",
        "3x10x6x5 --parts 3x7 --reduce-activation hard_swish --activation silu",
    ],
    build,
};

fn build(given: &Given<'_>, alone: &mut Alone<'_>) -> Result<()> {
    let shape = given.shape();
    let c = shape.c;
    let (reduced, tiles) = (given.number("reduced", c.div_ceil(4))?, given.number("tiles", 1)?);
    let most = SqueezeExcite::MOST_CHANNELS;
    if c > most[0] || reduced > most[1] {
        let [most, most_reduced] = most;
        let what = format!("{c} channels and {reduced} reduced ones, the kernel has room for {most} and {most_reduced}");
        return Err(alone.error(what));
    }
    let layout = given.layout(c)?;
    // Only its shape matters to the kernel, which reads sums.
    let input = alone.buffer(shape, layout.clone())?;
    let sums = alone.emit.sums(&input, tiles);
    let gate = alone.emit.tensor(Shape { h: 1, w: 1, ..shape }, layout, Precision::F32);
    let [reduce, expand] = [[reduced, c, 1, 1], [c, reduced, 1, 1]].map(|shape| alone.weight(&shape));
    let (reduce, expand) = (reduce?, expand?);
    let [reduce_bias, expand_bias] = [reduced, c].map(|count| alone.bias(given, count));
    let problem = Problem {
        name: alone.name(),
        owner: Owner::NONE,
        input,
        sums,
        reduce: Layer {
            weight: &reduce,
            bias: reduce_bias.as_deref(),
            activation: given.activation("reduce-activation", Activation::Relu)?,
        },
        expand: Layer {
            weight: &expand,
            bias: expand_bias.as_deref(),
            activation: given.activation("activation", Activation::HardSigmoid)?,
        },
        output: alone.add("gate", gate, true),
    };
    lower(&problem, &mut alone.emit);
    Ok(())
}
