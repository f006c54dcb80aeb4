//! What `relayout` is tested and measured on.

use super::{KERNEL, Problem, lower};
use crate::{
    Result,
    graph::NodeId,
    kernels::case::{Alone, CaseOption, Cases, Given},
    plan::layout::PAD,
};

/// Copies between layouts: parts that do not fall on blocks, to channels in order and to other
/// parts.
pub const CASES: Cases = Cases {
    kernel: KERNEL,
    shape: "NxCxHxW",
    options: &[CaseOption::new("to", "AxB..", "As --parts, of the output [default: in order]")],
    tile: None,
    cases: &[
        "1x184x14x14 --parts 92x92",
        "1x20x28x28 --parts 10x10",
        "8x20x28x28 --parts 10x10",
        "1x1x1x1",
        "2x2x1x7 --to 1x1",
        "1x3x5x3 --parts 1x2 --to 2x1",
        "3x5x7x7 --parts 1x1x1x1x1 --inside 1",
        "1x10x33x47 --to 7x3",
        "2x13x12x9 --parts 6x7 --to 3x3x7 --inside 2",
    ],
    build,
};

fn build(given: &Given<'_>, alone: &mut Alone<'_>) -> Result<()> {
    let shape = given.shape();
    let (from, to) = (given.layout(shape.c)?, given.layout_of("to", shape.c)?);
    let lane_of = from.lane_of(shape.c);
    let problem = Problem {
        name: alone.name(),
        node: NodeId(0),
        input: alone.input_in("input", shape, &from)?,
        lanes: to.lanes().iter().map(|&c| if c == PAD { PAD } else { lane_of[c as usize] }).collect(),
        output: alone.output_in("output", shape, &to)?,
    };
    lower(&problem, &mut alone.emit);
    Ok(())
}
