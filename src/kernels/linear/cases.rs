//! What `linear` is tested and measured on.

use super::{KERNEL, Problem, lower};
use crate::{
    Result,
    graph::{Activation, Shape},
    kernels::case::{ACTIVATION, Alone, Cases, Given, NO_BIAS, OUT},
    plan::emit::Owner,
};

/// GhostNet 1.0's last two layers; then odd ones.
pub const CASES: Cases = Cases {
    kernel: KERNEL,
    shape: "NxC",
    options: &[OUT, ACTIVATION, NO_BIAS],
    tile: None,
    cases: &[
        "1x960 --out 1280 --activation relu",
        "1x1280 --out 1000",
        "8x1280 --out 1000",
        "1x1",
        "2x3 --out 7 --no-bias --activation silu",
        "3x13 --out 10 --parts 6x7 --inside 1 --activation hard_swish",
        "2x257 --out 5 --activation sigmoid",
        "3x13 --out 30 --activation p_relu",
        "1x13 --out 70 --activation p_relu",
        "1x70 --out 33 --activation hard_sigmoid",
        "70x6 --out 2 --activation relu6",
    ],
    build,
};

fn build(given: &Given<'_>, alone: &mut Alone<'_>) -> Result<()> {
    let [n, c] = given.sides();
    let out = given.number("out", c)?;
    let weight = alone.weight(&[out, c])?;
    let bias = alone.bias(given, out);
    let activation = alone.activation(given, "activation", Activation::Identity, out)?;
    let problem = Problem {
        name: alone.name(),
        owner: Owner::NONE,
        input: alone.input_in("input", Shape::new(n, c, 1, 1), &given.layout(c)?)?,
        weight: &weight,
        bias: bias.as_deref(),
        activation: activation.get(),
        output: alone.output("output", Shape::new(n, out, 1, 1))?,
    };
    lower(&problem, &mut alone.emit);
    Ok(())
}
