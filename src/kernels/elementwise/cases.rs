//! What `elementwise` is tested and measured on.

use super::{KERNEL, Operand, Problem, lower};
use crate::{
    Result,
    graph::{Activation, Calculation, Shape},
    kernels::case::{ACTIVATION, Alone, CaseOption, Cases, Given},
    plan::emit::Owner,
};

/// Shortcuts' sums, gates and activations on GhostNet 1.0's maps; then odd ones.
pub const CASES: Cases = Cases {
    kernel: KERNEL,
    shape: "NxCxHxW",
    options: &[
        CaseOption::new("with", "NAME", "The calculation with a second operand, such as add or divide_into"),
        CaseOption::new("second", "NAME", "A map, one pixel, a gate, or a constant: vector or constant [default: map]"),
        ACTIVATION,
    ],
    tile: None,
    cases: &[
        "1x24x56x56 --with add",
        "1x160x7x7 --with add",
        "8x160x7x7 --with add",
        "1x672x14x14 --with multiply --second gate",
        "1x960x7x7 --activation relu",
        "1x1x1x1 --activation sigmoid",
        "2x2x1x7 --activation relu6",
        "1x3x5x3 --activation hard_sigmoid",
        "1x10x33x47 --activation hard_swish",
        "2x13x12x9 --activation silu",
        "1x5x7x7",
        "1x6x5x7 --activation tanh",
        "1x6x5x7 --activation exp",
        "1x6x5x7 --activation abs",
        "1x6x5x7 --activation erf",
        "2x6x5x7 --activation gelu --parts 3x3",
        "2x13x5x7 --activation p_relu --parts 6x7 --inside 1",
        "1x13x12x9 --with add --activation round8",
        "3x5x7x7 --with add --parts 2x3 --inside 1 --activation relu",
        "3x5x7x7 --with multiply",
        "2x13x12x9 --with multiply --second pixel --inside 2",
        "2x13x12x9 --with add --second pixel --activation silu",
        "2x10x6x5 --with multiply --second gate --parts 3x7",
        "2x10x6x5 --with subtract --second pixel --parts 3x7",
        "2x10x6x5 --with subtract_from --second vector --parts 3x7 --inside 1",
        "2x10x6x5 --with divide --second constant --parts 3x7",
        "2x10x6x5 --with divide_into",
        "2x10x6x5 --with minimum --second constant",
        "2x10x6x5 --with maximum --second pixel --activation relu6",
        "2x10x6x5 --with add --second constant --activation p_relu",
        "1x10x6x5 --with equal",
    ],
    build,
};

#[derive(Clone, Copy)]
enum Second {
    Map,
    Pixel,
    Gate,
    Vector,
    Constant,
}

fn build(given: &Given<'_>, alone: &mut Alone<'_>) -> Result<()> {
    let shape = given.shape();
    let layout = given.layout(shape.c)?;
    let a = alone.input_in("a", shape, &layout)?;
    let constant = alone.weight(&[shape.c, shape.h, shape.w])?;
    let vector = alone.weight(&[shape.c])?;
    let b = match given.has("with") {
        false => None,
        true => {
            let by = given.one_of("with", &Calculation::NAMES, Calculation::Add)?;
            let seconds = [
                ("map", Second::Map),
                ("pixel", Second::Pixel),
                ("gate", Second::Gate),
                ("vector", Second::Vector),
                ("constant", Second::Constant),
            ];
            let operand = match given.one_of("second", &seconds, Second::Map)? {
                Second::Map => Operand::Tensor(alone.input_in("b", shape, &layout)?),
                Second::Pixel => Operand::Tensor(alone.input_in("b", Shape { h: 1, w: 1, ..shape }, &layout)?),
                Second::Gate => Operand::Gate(alone.gate(&a, true).view),
                Second::Vector => Operand::Constant(&vector),
                Second::Constant => Operand::Constant(&constant),
            };
            Some((by, operand))
        }
    };
    let activation = alone.activation(given, "activation", Activation::Identity, shape.c)?;
    let output = alone.output_in("output", shape, &layout)?;
    let problem = Problem { name: alone.name(), owner: Owner::NONE, a, b, activation: activation.get(), output };
    lower(&problem, &mut alone.emit);
    Ok(())
}
