//! What `softmax` is tested and measured on.

use super::{KERNEL, Problem, lower};
use crate::{
    Result,
    kernels::case::{Alone, Cases, Given},
};

/// Classes of whole images, and of a detector's anchors; then odd ones.
pub const CASES: Cases = Cases {
    kernel: KERNEL,
    shape: "NxCxHxW",
    options: &[],
    tile: None,
    cases: &["1x1000x1x1", "8x1001x1x1", "1x2x1x4420", "1x21x19x19", "1x1x1x1", "2x5x3x7", "3x9x1x2 --inside 1", "2x70x5x5 --inside 2"],
    build,
};

fn build(given: &Given<'_>, alone: &mut Alone<'_>) -> Result<()> {
    let shape = given.shape();
    let problem = Problem { name: alone.name(), input: alone.input("input", shape)?, output: alone.output("output", shape)? };
    lower(&problem, &mut alone.emit);
    Ok(())
}
