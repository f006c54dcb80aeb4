//! Resamples, crops and normalises one image: `shaders/resize.wgsl`. It stands in front of a plan,
//! since how it runs depends on each image. On the CPU [`crate::image_input`] does it.

use super::in_no_plan;
use crate::plan::{Dispatch, PipelineKey};
use std::ops::Range;

params! { workgroups, tiles_first, width, height, source_width, across_first, output_offset }

kernel!("resize", writes ["output"], twin in_no_plan, vector in_no_plan);

/// An image in memory, as far as resizing it needs to know.
pub trait Rows: Sync {
    /// Columns `x` of row `y` as interleaved RGB8; `scratch` is for what has to be converted.
    fn row<'a>(&'a self, y: usize, x: Range<usize>, scratch: &'a mut Vec<u8>) -> &'a [u8];

    /// The same, or with more bytes behind the three of each pixel, and how many a pixel has: for
    /// what takes pixels one by one.
    fn texels<'a>(&'a self, y: usize, x: Range<usize>, scratch: &'a mut Vec<u8>) -> (&'a [u8], usize) {
        (self.row(y, x, scratch), 3)
    }
}

/// How an image of one size becomes a network's input, as the shader needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Rows of the image that the crop needs.
    pub source_rows: Range<usize>,
    /// Columns of the image that the crop needs.
    pub source_columns: Range<usize>,
    /// Rows and columns of the crop.
    pub crop: [usize; 2],
    /// Whether the rows are filtered first, from column to column; else the columns.
    pub across_first: bool,
    /// The shader's `table`: spans and weights of each column, then of each row.
    pub table: Vec<i32>,
}

/// Side of a workgroup's tile of the crop, a square of invocations: WebGPU's default limit.
const TILE: usize = 16;

/// Resizes the needed part of an image into the blocks from `output_offset` on. `texture` says that
/// the image is an rgba8unorm texture, not a buffer of words.
pub fn dispatch(problem: &Problem, f16: bool, texture: bool, output_offset: u32) -> Dispatch {
    let [height, width] = problem.crop;
    let [first, second] = if problem.across_first { [width, height] } else { [height, width] };
    let tiles_first = first.div_ceil(TILE);
    let workgroups = (tiles_first * second.div_ceil(TILE)) as u32;
    let params = Params {
        workgroups,
        tiles_first: tiles_first as u32,
        width: width as u32,
        height: height as u32,
        source_width: problem.source_columns.len() as u32,
        across_first: problem.across_first.into(),
        output_offset,
    };
    Dispatch { key: key(f16, texture), params: bytemuck::bytes_of(&params).to_vec(), workgroups }
}

/// The pipeline of [`dispatch`]: one for images of all sizes.
pub fn key(f16: bool, texture: bool) -> PipelineKey {
    PipelineKey::new(KERNEL, &[("TILE", TILE as i64), ("F16", f16.into()), ("TEXTURE", texture.into())])
}
