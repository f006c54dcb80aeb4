//! What `rearrange` is tested and measured on.

use super::{KERNEL, Problem, lower};
use crate::{
    Result,
    graph::{Axis, Op, Rearrange},
    kernels::case::{Alone, CaseOption, Cases, Given},
    plan::emit::Owner,
};

/// Outputs of detectors in another order of axes; then odd shapes, repeats and steps backwards.
pub const CASES: Cases = Cases {
    kernel: KERNEL,
    shape: "NxCxHxW",
    options: &[
        CaseOption::new("order", "AXES", "The output's axes, such as hwc, which become its channels [default: hwc]"),
        CaseOption::new("maps", "", "The first axis stays channels, the others become maps"),
        CaseOption::new("backwards", "", "From the last value of each axis to the first"),
        CaseOption::new("split", "C", "Channels as so many groups, the groups as the fastest axis"),
        CaseOption::new("every", "N", "Each Nth row and column only [default: 1]"),
        CaseOption::new("repeat", "N", "Each value so often, as the fastest axis [default: 1]"),
    ],
    tile: None,
    cases: &[
        "1x112x52x52",
        "1x10x40x40 --order wch",
        "1x58x28x28 --split 2 --maps",
        "1x16x120x160 --order hwc --every 2",
        "1x1x1x1",
        "2x3x5x7 --order whc --parts 1x2",
        "2x5x4x3 --order chw --backwards",
        "2x6x3x4 --split 3 --maps --inside 2",
        "3x9x1x1 --repeat 4",
        "2x7x5x6 --order cwh --maps --every 2 --repeat 3 --parts 3x4 --inside 1",
    ],
    build,
};

fn build(given: &Given<'_>, alone: &mut Alone<'_>) -> Result<()> {
    let shape = given.shape();
    let every = given.number("every", 1)?;
    let [h, w] = [shape.h, shape.w].map(|side| side.div_ceil(every));
    let axis = |len, channels: usize, pixels: usize| Axis { len, channels: channels as isize, pixels: pixels as isize };
    let order = given.word("order").unwrap_or("hwc");
    let mut axes = Vec::new();
    for letter in order.chars() {
        axes.push(match letter {
            'c' => axis(shape.c, 1, 0),
            'h' => axis(h, 0, every * shape.w),
            'w' => axis(w, 0, every),
            _ => return Err(alone.error(format!("--order {order} is not of c, h and w"))),
        });
    }
    let groups = given.number("split", 1)?;
    if groups > 1 {
        if !shape.c.is_multiple_of(groups) {
            return Err(alone.error(format!("{} channels are not {groups} groups", shape.c)));
        }
        let of_group = shape.c / groups;
        axes = vec![axis(of_group, 1, 0), axis(groups, of_group, 0), axis(h, 0, every * shape.w), axis(w, 0, every)];
    }
    let mut start = [0, 0];
    if given.has("backwards") {
        for axis in &mut axes {
            start[0] += (axis.len - 1) * axis.channels as usize;
            start[1] += (axis.len - 1) * axis.pixels as usize;
            (axis.channels, axis.pixels) = (-axis.channels, -axis.pixels);
        }
    }
    let repeat = given.number("repeat", 1)?;
    if repeat > 1 {
        axes.push(axis(repeat, 0, 0));
    }
    let count: usize = axes.iter().map(|axis| axis.len).product();
    let to = if given.has("maps") { [axes[0].len, 1, count / axes[0].len] } else { [count, 1, 1] };
    let rearrange = Rearrange { of: [shape.c, shape.h, shape.w], start, axes, to };
    let layout = given.layout(shape.c)?;
    let made = rearrange.clone();
    let to = alone.shape_of(shape, &[], |_| Op::Rearrange(made))?;
    let problem = Problem {
        name: alone.name(),
        owner: Owner::NONE,
        input: alone.input_in("input", shape, &layout)?,
        rearrange,
        output: alone.output("output", to)?,
    };
    lower(&problem, &mut alone.emit);
    Ok(())
}
