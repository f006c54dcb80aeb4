//! Samples windows of one picture, bilinearly, to a network's normalised input:
//! `shaders/sample.wgsl`. It stands in front of a plan, since the windows depend on each picture.
//! On the CPU [`crate::image_input`] does it.

use super::in_no_plan;
use crate::{
    graph::Shape,
    plan::{Dispatch, PipelineKey, PlanInput, layout::Layout},
};
use std::ops::Range;

params! {
    outputs, workgroups, width, height, source_width, table_first,
    mean_0, mean_1, mean_2, std_0, std_1, std_2, pad_0, pad_1, pad_2,
}

kernel!("sample", writes ["output"], twin in_no_plan, vector in_no_plan);

/// Two pixels of a row or column and the second one's share, as the shader reads them.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Tap {
    /// The pixel before the sample; [`Tap::NONE`]'s is that of a sample beyond the picture.
    pub first: u32,
    /// The pixel after it.
    pub second: u32,
    /// 0 to 1.
    pub share: f32,
}

impl Tap {
    /// Beyond the picture.
    pub const NONE: Self = Self { first: u32::MAX, second: u32::MAX, share: 0.0 };
}

/// How windows of a picture become a network's input, one after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Rows of the picture that the windows need.
    pub source_rows: Range<usize>,
    /// Columns of the picture that the windows need.
    pub source_columns: Range<usize>,
    /// The input's rows and columns.
    pub size: [usize; 2],
    /// The tensor is `[1, h, w, 3]`, whose rows the plan takes for channels; else `[1, 3, h, w]`.
    pub is_nhwc: bool,
    /// Its channels are blue, green and red.
    pub is_bgr: bool,
    /// Of each of the tensor's channels, of values in 0 ..= 255.
    pub mean: [f32; 3],
    /// Of each of the tensor's channels, of values in 0 ..= 255; above 0.
    pub std: [f32; 3],
    /// What stands beside the picture: red, green and blue, 0 ..= 255.
    pub pad: [f32; 3],
    /// For each window, taps of its columns and then of its rows, by pixels of the needed part.
    pub taps: Vec<Tap>,
}

/// What holds the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// A buffer of RGBA8 words.
    Words,
    /// An rgba8unorm texture.
    Texture,
    /// A frame of a video that a browser lends.
    External,
}

const INVOCATIONS: u32 = 64;

impl Problem {
    /// The same, where what is sampled holds the whole picture.
    #[cfg(all(target_arch = "wasm32", feature = "web_detect"))]
    pub(crate) fn of_whole(mut self) -> Self {
        let [rows, columns] = [&mut self.source_rows, &mut self.source_columns].map(|range| std::mem::take(&mut range.start) as u32);
        let [h, w] = self.size;
        for (at, tap) in self.taps.iter_mut().enumerate().filter(|(_, tap)| **tap != Tap::NONE) {
            let first = if at % (w + h) < w { columns } else { rows };
            (tap.first, tap.second) = (tap.first + first, tap.second + first);
        }
        self
    }

    /// How many windows.
    pub fn windows(&self) -> usize {
        self.taps.len() / (self.size[0] + self.size[1])
    }

    /// Whether a plan's input takes a window.
    pub fn fits(&self, input: &PlanInput) -> bool {
        let [h, w] = self.size;
        let shape = if self.is_nhwc { Shape::new(1, h, w, 3) } else { Shape::new(1, 3, h, w) };
        input.shape == shape && input.layout == Layout::plain(shape.c)
    }

    /// The launch that makes the input of a window, by its number; all have one pipeline.
    pub fn dispatch(&self, window: usize, f16: bool, held: Held) -> Dispatch {
        let [height, width] = self.size;
        let outputs = if self.is_nhwc { height.div_ceil(4) * width * 3 } else { height * width } as u32;
        let workgroups = outputs.div_ceil(INVOCATIONS);
        let [[mean_0, mean_1, mean_2], [std_0, std_1, std_2], [pad_0, pad_1, pad_2]] =
            [self.mean, self.std, self.pad].map(|of| of.map(f32::to_bits));
        let params = Params {
            outputs,
            workgroups,
            width: width as u32,
            height: height as u32,
            source_width: self.source_columns.len() as u32,
            table_first: (window * (width + height)) as u32,
            mean_0,
            mean_1,
            mean_2,
            std_0,
            std_1,
            std_2,
            pad_0,
            pad_1,
            pad_2,
        };
        Dispatch { key: self.key(f16, held), params: bytemuck::bytes_of(&params).to_vec(), workgroups }
    }

    /// The pipeline of [`Problem::dispatch`].
    pub fn key(&self, f16: bool, held: Held) -> PipelineKey {
        let defines = [
            ("WG", INVOCATIONS.into()),
            ("F16", f16.into()),
            ("TEXTURE", held as i64),
            ("NHWC", self.is_nhwc.into()),
            ("BGR", self.is_bgr.into()),
        ];
        PipelineKey::new(KERNEL, &defines)
    }
}
