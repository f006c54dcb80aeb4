//! What `roi_align` is tested and measured on.

use super::{KERNEL, Problem, lower};
use crate::{
    Result,
    graph::{RoiAlign, Shape},
    kernels::case::{Alone, CaseOption, Cases, Given},
};

/// Regions of Faster R-CNN's pyramid; then odd ones. Regions have coordinates about 0: most lie
/// across an edge.
pub const CASES: Cases = Cases {
    kernel: KERNEL,
    shape: "NxCxHxW",
    options: &[
        CaseOption::new("regions", "R", "How many [default: 16]"),
        CaseOption::new("cells", "YxX", "Rows and columns of a region's cells [default: 7]"),
        CaseOption::new("samples", "S", "Samples of a cell along either side [default: 2]"),
        CaseOption::new("maps", "M", "Maps, each half as high and wide as the one before [default: 1]"),
        CaseOption::new("scale", "S", "Pixels of the first map for one of the regions' [default: half its width]"),
        CaseOption::new("side", "S", "Of squares that are of the second map [default: 0.25]"),
        CaseOption::new("aligned", "", "A pixel's value is that of its middle"),
    ],
    tile: None,
    cases: &[
        "1x64x48x64 --maps 4 --regions 100",
        "1x256x50x50 --maps 2 --regions 10 --side 0.5",
        "1x1x1x1",
        "2x10x9x13 --regions 5 --cells 2x3 --samples 3 --aligned --parts 3x7 --inside 1",
        "2x6x17x12 --regions 9 --maps 3 --cells 1x1 --samples 1 --inside 2",
        "1x5x7x7 --scale 3 --cells 3x2",
    ],
    build,
};

fn build(given: &Given<'_>, alone: &mut Alone<'_>) -> Result<()> {
    const NAMES: [&str; RoiAlign::MOST_MAPS] = super::MAPS;
    let shape = given.shape();
    let count = given.number("maps", 1)?;
    if count > NAMES.len() {
        return Err(alone.error(format!("--maps {count} is more than {}", NAMES.len())));
    }
    let real = |name: &str, usual: f32| given.reals(name).map(|reals| reals.map_or(usual, |[real, _]| real));
    let (scale, side) = (real("scale", shape.w as f32 / 2.0)?, real("side", 0.25)?);
    let sides = |at: usize| Shape { h: shape.h.div_ceil(1 << at), w: shape.w.div_ceil(1 << at), ..shape };
    let regions = Shape::new(shape.n, 1, given.number("regions", 16)?, 4);
    let roi_align = RoiAlign {
        cells: given.pair("cells", 1, [7, 7])?,
        samples: given.number("samples", 2)?,
        scales: (0..count).map(|at| scale / (1 << at) as f32).collect(),
        aligned: given.has("aligned"),
        side,
    };
    let layout = given.layout(shape.c)?;
    let inputs: Vec<Shape> = (0..count).map(sides).chain([regions]).collect();
    let to = alone.shape_of_all(&inputs, crate::graph::Op::RoiAlign(roi_align.clone()))?;
    let maps = inputs[..count].iter().zip(NAMES).map(|(shape, name)| alone.input_in(name, *shape, &layout)).collect::<Result<_>>()?;
    let problem = Problem {
        name: alone.name(),
        maps,
        regions: alone.input("regions", regions)?,
        roi_align,
        output: alone.output_in("output", to, &layout)?,
    };
    lower(&problem, &mut alone.emit);
    Ok(())
}
