//! Regions of maps, each on a grid of cells: `shaders/roi_align.wgsl`.

#[doc(hidden)]
pub mod cases;
pub(crate) mod twin;
pub(crate) mod vector;

use crate::{
    graph::RoiAlign,
    plan::{
        Dispatch,
        emit::{Emitter, Launch, TensorView},
    },
};

params! {
    cells_y, cells_x, samples, pixels_out, blocks, outputs, workgroups, regions_offset, regions_stride, output_offset, output_stride,
    height_0, width_0, offset_0, stride_0, scale_0, least_0, height_1, width_1, offset_1, stride_1, scale_1, least_1,
    height_2, width_2, offset_2, stride_2, scale_2, least_2, height_3, width_3, offset_3, stride_3, scale_3, least_3,
}

kernel!("roi_align", writes ["output"], twin twin::roi_align, vector vector::roi_align);

/// What the shader calls the maps.
const MAPS: [&str; RoiAlign::MOST_MAPS] = ["map_0", "map_1", "map_2", "map_3"];

/// Of a map, as the parameters have it: rows, columns, place, scale and the least area.
type Level = [u32; 6];

impl Params {
    fn levels(&self) -> [Level; RoiAlign::MOST_MAPS] {
        [
            [self.height_0, self.width_0, self.offset_0, self.stride_0, self.scale_0, self.least_0],
            [self.height_1, self.width_1, self.offset_1, self.stride_1, self.scale_1, self.least_1],
            [self.height_2, self.width_2, self.offset_2, self.stride_2, self.scale_2, self.least_2],
            [self.height_3, self.width_3, self.offset_3, self.stride_3, self.scale_3, self.least_3],
        ]
    }
}

/// Regions of maps.
#[derive(Clone)]
pub struct Problem {
    /// The step's name.
    pub name: String,
    /// `[n, c, h, w]` each, one to four, in the output's layout.
    pub maps: Vec<TensorView>,
    /// `[n, 1, r, 4]`.
    pub regions: TensorView,
    /// How.
    pub roi_align: RoiAlign,
    /// `[n, c, r * rows, columns]`.
    pub output: TensorView,
}

const INVOCATIONS: u32 = 64;

/// Adds the step that solves the problem.
pub fn lower(problem: &Problem, emit: &mut Emitter<'_>) {
    let Problem { name, maps, regions, roi_align, output } = problem;
    let outputs = (output.shape.n * output.blocks() * output.shape.pixels()) as u32;
    let workgroups = outputs.div_ceil(INVOCATIONS);
    let mut levels = [Level::default(); RoiAlign::MOST_MAPS];
    for (at, (map, level)) in maps.iter().zip(&mut levels).enumerate() {
        let [h, w] = map.size().map(|side| side as u32);
        let [scale, least] = [roi_align.scales[at], roi_align.least_area(at)].map(f32::to_bits);
        *level = [h, w, map.place.offset, map.place.stride, scale, least];
    }
    let [
        [height_0, width_0, offset_0, stride_0, scale_0, least_0],
        [height_1, width_1, offset_1, stride_1, scale_1, least_1],
        [height_2, width_2, offset_2, stride_2, scale_2, least_2],
        [height_3, width_3, offset_3, stride_3, scale_3, least_3],
    ] = levels;
    #[rustfmt::skip]
    let params = Params {
        cells_y: roi_align.cells[0] as u32,
        cells_x: roi_align.cells[1] as u32,
        samples: roi_align.samples as u32,
        pixels_out: output.shape.pixels() as u32,
        blocks: output.blocks() as u32,
        outputs,
        workgroups,
        regions_offset: regions.place.offset,
        regions_stride: regions.place.stride,
        output_offset: output.place.offset,
        output_stride: output.place.stride,
        height_0, width_0, offset_0, stride_0, scale_0, least_0,
        height_1, width_1, offset_1, stride_1, scale_1, least_1,
        height_2, width_2, offset_2, stride_2, scale_2, least_2,
        height_3, width_3, offset_3, stride_3, scale_3, least_3,
    };
    let defines =
        [("WG", INVOCATIONS.into()), ("MAPS", maps.len() as i64), ("ALIGNED", roi_align.aligned.into()), ("F16", emit.f16().into())];
    let launch = Launch::new(name, Dispatch::new(KERNEL, &defines, &params, workgroups)).reads("regions", regions);
    let launch = MAPS.iter().zip(maps).fold(launch, |launch, (name, map)| launch.reads(name, map));
    emit.launch(launch.writes("output", output));
}
