//! The twin of `shaders/roi_align.wgsl`.

use super::{MAPS, Params};
use crate::{
    block::{Block, View, ZERO, add, multiply_add, scale, splat},
    parallel::*,
    plan::Call,
};

pub(crate) fn roi_align(call: Call<'_>) {
    let params: Params = call.params();
    let all = All::new(&call, &params);
    let (pixels, blocks) = (params.pixels_out as usize, params.blocks as usize);
    let to = View::new(params.output_offset, params.output_stride);
    to.images(call.output, params.outputs as usize / (blocks * pixels), blocks * pixels).enumerate().for_each(|(n, image)| {
        image.par_chunks_mut(pixels).enumerate().for_each(|(block, out)| all.rows(n, block, 0, out));
    });
}

/// What a launch reads.
pub(super) struct All<'a> {
    maps: Vec<Map<'a>>,
    regions: &'a [Block],
    regions_at: View,
    cells: [usize; 2],
    samples: usize,
    aligned: bool,
}

struct Map<'a> {
    values: &'a [Block],
    at: View,
    /// Rows and columns.
    size: [usize; 2],
    scale: f32,
    /// The area from which on a region is of it.
    least: f32,
}

/// Along an axis the two pixels that a place lies between, and the second one's weight; `None`
/// beyond the map.
type Tap = Option<(usize, usize, f32)>;

fn tap(place: f32, length: usize) -> Tap {
    if !(-1.0..=length as f32).contains(&place) {
        return None;
    }
    let on_map = place.clamp(0.0, (length - 1) as f32);
    let first = on_map as usize;
    Some((first, (first + 1).min(length - 1), on_map - first as f32))
}

fn mix(first: Block, second: Block, weight: f32) -> Block {
    multiply_add(second, splat(weight), scale(first, 1.0 - weight))
}

impl<'a> All<'a> {
    pub(super) fn new(call: &Call<'a>, params: &Params) -> Self {
        let count = call.define("MAPS");
        let map = |(name, [height, width, offset, stride, scale, least]): (&&'static str, [u32; 6])| Map {
            values: call.read(name),
            at: View::new(offset, stride),
            size: [height as usize, width as usize],
            scale: f32::from_bits(scale),
            least: f32::from_bits(least),
        };
        Self {
            maps: MAPS.iter().zip(params.levels()).take(count).map(map).collect(),
            regions: call.read("regions"),
            regions_at: View::new(params.regions_offset, params.regions_stride),
            cells: [params.cells_y, params.cells_x].map(|cells| cells as usize),
            samples: params.samples as usize,
            aligned: call.define("ALIGNED") != 0,
        }
    }

    /// Whole rows of cells from `first` on, of a block of an image.
    pub(super) fn rows(&self, n: usize, block: usize, first: usize, out: &mut [Block]) {
        let [cells_y, cells_x] = self.cells;
        let regions = self.regions_at.image(self.regions, n);
        for (row, cells) in (first..).zip(out.chunks_exact_mut(cells_x)) {
            let region = [0, 1, 2, 3].map(|side| regions[row / cells_y * 4 + side][0]);
            let area = (region[2] - region[0]) * (region[3] - region[1]);
            let of = self.maps.iter().skip(1).take_while(|map| area >= map.least).count();
            let Map { values, at, size: [height, width], scale: by, .. } = &self.maps[of];
            let map = &at.image(values, n)[block * height * width..][..height * width];
            let [x1, y1, x2, y2] = region.map(|place| place * by);
            let [x, y] = [(x1, x2, cells_x), (y1, y2, cells_y)].map(|(from, to, cells)| {
                let side = if self.aligned { to - from } else { (to - from).max(1.0) };
                (if self.aligned { from - 0.5 } else { from }, side / cells as f32)
            });
            let place = |(from, bin): (f32, f32), cell: usize, sample: usize| {
                from + cell as f32 * bin + (sample as f32 + 0.5) * (bin / self.samples as f32)
            };
            for (cell, out) in cells.iter_mut().enumerate() {
                let mut sum = ZERO;
                for i in 0..self.samples {
                    let Some((top, bottom, down)) = tap(place(y, row % cells_y, i), *height) else { continue };
                    let [top, bottom] = [top, bottom].map(|y| &map[y * width..][..*width]);
                    for j in 0..self.samples {
                        let Some((left, right, along)) = tap(place(x, cell, j), *width) else { continue };
                        let [above, below] = [top, bottom].map(|row| mix(row[left], row[right], along));
                        sum = add(sum, mix(above, below, down));
                    }
                }
                *out = scale(sum, 1.0 / (self.samples * self.samples) as f32);
            }
        }
    }
}
