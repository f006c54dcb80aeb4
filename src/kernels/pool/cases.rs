//! What `pool` is tested and measured on.

use super::{KERNEL, Problem, lower, lower_sums};
use crate::{
    Result,
    graph::{Op, Pool, PoolKind},
    kernels::case::{Alone, CaseOption, Cases, Given, STRIDE, SUMS},
};

/// Means and sums of GhostNet 1.0's maps; then windows of every kind.
pub const CASES: Cases = Cases {
    kernel: KERNEL,
    shape: "NxCxHxW",
    options: &[
        CaseOption::new("window", "YxX", "Rows and columns of a window [default: the whole map]"),
        CaseOption::new("kind", "NAME", "Of windows: max, mean of their pixels on the map, or mean with padding as zeros [default: max]"),
        STRIDE,
        CaseOption::new("pad", "YxX", "Around the map [default: 0]"),
        SUMS,
    ],
    tile: None,
    cases: &[
        "1x960x7x7",
        "8x960x7x7",
        "1x120x28x28 --sums",
        "1x672x7x7 --sums",
        "1x16x112x112 --window 3 --stride 2 --pad 1",
        "1x1x1x1",
        "2x2x1x7 --sums",
        "1x3x5x3 --inside 1",
        "3x5x7x7 --parts 2x3",
        "1x10x33x47",
        "2x13x12x9 --window 1 --stride 2 --kind mean",
        "2x13x12x9 --window 2x4 --stride 1x2 --pad 1x3 --kind mean",
        "2x13x12x9 --window 2x4 --stride 1x2 --pad 1x3 --kind padded",
        "2x13x12x9 --window 5 --pad 4 --kind max --inside 2",
        "1x10x33x47 --window 3 --stride 3 --pad 2 --kind padded --parts 3x7",
    ],
    build,
};

fn build(given: &Given<'_>, alone: &mut Alone<'_>) -> Result<()> {
    let shape = given.shape();
    let layout = given.layout(shape.c)?;
    let window = match given.has("window") {
        false => None,
        true => Some(Pool {
            kind: given.one_of(
                "kind",
                &[("max", PoolKind::Max), ("mean", PoolKind::Mean { count_pad: false }), ("padded", PoolKind::Mean { count_pad: true })],
                PoolKind::Max,
            )?,
            kernel: given.pair("window", 1, [1, 1])?,
            stride: given.pair("stride", 1, [1, 1])?,
            pad: given.pair("pad", 0, [0, 0])?,
            pad_more: [0, 0],
        }),
    };
    let input = alone.input_in("input", shape, &layout)?;
    if given.has("sums") {
        if window.is_some() {
            return Err(alone.error("--sums is of whole maps"));
        }
        lower_sums(alone.name(), &input, &mut alone.emit);
        return Ok(());
    }
    let to = alone.shape_of(shape, &[], |_| window.map_or(Op::GlobalPool, Op::Pool))?;
    let problem = Problem { name: alone.name(), input, window, output: alone.output_in("output", to, &layout)? };
    lower(&problem, &mut alone.emit);
    Ok(())
}
