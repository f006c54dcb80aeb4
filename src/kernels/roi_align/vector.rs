//! `twin.rs`'s rows of cells, shared among threads and compiled for the level's instructions.

use super::{Params, twin::All};
use crate::{
    block::{Block, View},
    parallel::Part,
    plan::Call,
    simd::{Simd, Work},
};

pub(crate) fn roi_align(call: Call<'_>) {
    let params: Params = call.params();
    let all = All::new(&call, &params);
    let (pixels, blocks) = (params.pixels_out as usize, params.blocks as usize);
    let to = View::new(params.output_offset, params.output_stride);
    let count = params.outputs as usize / (blocks * pixels);
    let (level, team) = (call.level, call.team);
    to.split(count, blocks, pixels, 1).shared_by(team, params.cells_x as usize).each(team, call.output, |part| {
        level.run(Run { all: &all, row: part.first / params.cells_x as usize, part });
    });
}

/// One part's work.
struct Run<'a> {
    all: &'a All<'a>,
    /// The first row of cells.
    row: usize,
    part: Part<'a, Block>,
}

impl Work for Run<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { all, row, mut part } = self;
        let (image, plane) = (part.image, part.plane);
        all.rows(image, plane, row, part.plane(0, 0));
    }
}
