//! What `softmax_top_k` is tested and measured on.

use super::{KERNEL, Problem, lower};
use crate::{
    Result,
    graph::Shape,
    kernels::case::{Alone, CaseOption, Cases, Given},
};

/// ImageNet's classes and CIFAR-10's; then odd numbers.
pub const CASES: Cases = Cases {
    kernel: KERNEL,
    shape: "NxC",
    options: &[CaseOption::new("top", "K", "How many of the classes [default: 5, or all of fewer]")],
    tile: None,
    cases: &["1x1000", "8x1000", "1x1000 --top 1000", "1x10 --top 10", "1x1", "2x7 --top 1", "3x257 --top 9 --inside 1", "70x3 --top 2"],
    build,
};

fn build(given: &Given<'_>, alone: &mut Alone<'_>) -> Result<()> {
    let [n, c] = given.sides();
    let k = given.number("top", c.min(5))?;
    if k > c {
        return Err(alone.error(format!("the {k} best of {c} classes cannot be given")));
    }
    let input = alone.input("input", Shape::new(n, c, 1, 1))?;
    lower(&Problem { input, k }, &mut alone.emit);
    Ok(())
}
