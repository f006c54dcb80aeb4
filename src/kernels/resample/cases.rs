//! What `resample` is tested and measured on.

use super::{KERNEL, Problem, lower};
use crate::{
    Result,
    graph::{Coordinates, Filter, Nearest, Op, Resample},
    kernels::case::{Alone, CaseOption, Cases, Given},
    plan::emit::Owner,
};

/// Maps of a feature pyramid on GhostNet 1.0's; then every way of counting and of choosing pixels,
/// up and down.
pub const CASES: Cases = Cases {
    kernel: KERNEL,
    shape: "NxCxHxW",
    options: &[
        CaseOption::new("to", "YxX", "Rows and columns of the output [default: twice the input's]"),
        CaseOption::new("scale", "YxX", "Times that many rows and columns, such as 1.5x0.7"),
        CaseOption::new("filter", "NAME", "nearest or bilinear [default: bilinear]"),
        CaseOption::new(
            "coordinates",
            "NAME",
            "half_pixel, pytorch_half_pixel, align_corners or asymmetric, as ONNX has it [default: half_pixel]",
        ),
        CaseOption::new(
            "nearest",
            "NAME",
            "round_prefer_floor, round_prefer_ceil, floor or ceil, as ONNX has it [default: round_prefer_floor]",
        ),
        CaseOption::new("product", "", "The result is multiplied by a map"),
    ],
    tile: None,
    cases: &[
        "1x160x7x7 --to 14",
        "1x112x14x14 --to 28 --filter nearest",
        "1x40x28x28 --to 56 --coordinates align_corners",
        "1x24x56x56 --to 224",
        "8x24x56x56 --to 112",
        "1x16x112x112 --to 56 --coordinates asymmetric --filter nearest --nearest floor",
        "1x72x28x28 --to 56 --coordinates asymmetric --filter nearest --nearest floor --product",
        "1x480x7x7 --to 14 --coordinates asymmetric --filter nearest --nearest floor --product",
        "1x1x1x1",
        "2x10x3x4 --to 7x9 --coordinates asymmetric --filter nearest --nearest floor --product --inside 1",
        "2x13x12x9 --scale 0.3x2.6 --parts 3x10 --product",
        "2x5x1x1 --to 1x1 --product",
        "2x2x1x7 --to 3x1 --coordinates pytorch_half_pixel",
        "2x2x1x7 --to 1x1 --coordinates align_corners",
        "1x3x5x3 --to 7x2 --filter nearest --coordinates pytorch_half_pixel --nearest ceil",
        "3x5x7x7 --to 3x10 --filter nearest --coordinates half_pixel --nearest round_prefer_ceil --parts 2x3",
        "3x5x7x7 --to 3x10 --coordinates half_pixel --inside 2",
        "1x10x33x47 --scale 0.5 --filter nearest --nearest round_prefer_floor",
        "1x10x33x47 --scale 1.5x0.7 --parts 3x7 --inside 1",
        "2x13x12x9 --scale 0.3x2.6 --coordinates asymmetric",
        "2x13x12x9 --scale 3x1 --filter nearest --coordinates align_corners --nearest floor",
    ],
    build,
};

fn build(given: &Given<'_>, alone: &mut Alone<'_>) -> Result<()> {
    let shape = given.shape();
    let to = given.has("to").then(|| given.pair("to", 1, [1, 1])).transpose()?;
    let scales = given.reals("scale")?;
    let resample = match (to, scales) {
        (Some(_), Some(_)) => return Err(alone.error("--to and --scale do not go together")),
        (Some(to), None) => Resample::to(to),
        (None, scales) => Resample::by(scales.unwrap_or([2.0; 2])),
    };
    let filter = match given.one_of("filter", &[("bilinear", true), ("nearest", false)], true)? {
        true => Filter::Bilinear,
        false => Filter::Nearest(given.one_of("nearest", &Nearest::NAMES, Nearest::default())?),
    };
    let resample = Resample { filter, coordinates: given.one_of("coordinates", &Coordinates::NAMES, Coordinates::default())?, ..resample };
    let layout = given.layout(shape.c)?;
    let to = alone.shape_of(shape, &[], |_| Op::Resample(resample))?;
    let other = given.has("product").then(|| alone.input_in("other", to, &layout)).transpose()?;
    let problem = Problem {
        name: alone.name(),
        owner: Owner::NONE,
        input: alone.input_in("input", shape, &layout)?,
        resample,
        size: [to.h, to.w],
        other,
        output: alone.output_in("output", to, &layout)?,
    };
    lower(&problem, &mut alone.emit);
    Ok(())
}
