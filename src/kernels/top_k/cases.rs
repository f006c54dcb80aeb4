//! What `top_k` is tested and measured on.

use super::{KERNEL, Problem, lower};
use crate::{
    Result,
    graph::{Shape, TopK},
    kernels::case::{Alone, CaseOption, Cases, Given},
};

/// Classes of images and of pixels; then odd ones.
pub const CASES: Cases = Cases {
    kernel: KERNEL,
    shape: "NxCxHxW",
    options: &[
        CaseOption::new("k", "K", "How many channels [default: 1]"),
        CaseOption::new("smallest", "", "The smallest first"),
        CaseOption::new("last", "", "Of equal values that of the highest number first"),
        CaseOption::new("places", "", "The channels' numbers"),
    ],
    tile: None,
    cases: &[
        "1x1000x1x1 --k 5 --places",
        "1x21x65x65 --places",
        "1x1x1x1",
        "3x7x5x3 --k 7",
        "2x9x4x5 --k 3 --smallest --inside 1",
        "1x9x4x5 --k 6 --places --last",
    ],
    build,
};

fn build(given: &Given<'_>, alone: &mut Alone<'_>) -> Result<()> {
    let shape = given.shape();
    let top_k =
        TopK { k: given.number("k", 1)?, is_smallest: given.has("smallest"), is_last: given.has("last"), places: given.has("places") };
    if top_k.k > shape.c {
        return Err(alone.error(format!("--k {} is more than {} channels", top_k.k, shape.c)));
    }
    let output = alone.output("output", Shape { c: top_k.k, ..shape })?;
    let problem = Problem { name: alone.name(), input: alone.input("input", shape)?, top_k, output };
    lower(&problem, &mut alone.emit);
    Ok(())
}
