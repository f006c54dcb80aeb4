//! What `preprocess` is tested and measured on.

use super::{KERNEL, Problem, lower};
use crate::{
    Result,
    graph::Shape,
    kernels::case::{Alone, Cases, Given},
};

/// GhostNet's inputs; then odd ones.
pub const CASES: Cases = Cases {
    kernel: KERNEL,
    shape: "NxHxW",
    options: &[],
    tile: None,
    cases: &["1x224x224", "8x224x224", "1x32x32", "1x1x1", "2x1x7", "3x5x3 --inside 1", "1x33x47"],
    build,
};

fn build(given: &Given<'_>, alone: &mut Alone<'_>) -> Result<()> {
    let [n, h, w] = given.sides();
    let output = alone.output("output", Shape::new(n, 3, h, w))?;
    lower(&Problem { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], output }, &mut alone.emit);
    Ok(())
}
