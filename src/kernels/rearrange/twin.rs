//! The twin of `shaders/rearrange.wgsl`.

use super::Params;
use crate::{
    block::{Block, View},
    parallel::*,
    plan::Call,
};

pub(crate) fn rearrange(call: Call<'_>) {
    let params: Params = call.params();
    let [input, table] = ["input", "table"].map(|name| call.read(name));
    let [pixels, blocks] = [params.pixels_out, params.blocks_out].map(|v| v as usize);
    let walk = Walk::new(&params, table);
    let count = params.outputs as usize / (blocks * pixels);
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    to.images(call.output, count, blocks * pixels).enumerate().for_each(|(n, image)| {
        let input = from.image(input, n);
        image.par_chunks_mut(pixels).enumerate().for_each(|(block, map)| {
            for (pixel, out) in map.iter_mut().enumerate() {
                *out = walk.block(input, block, pixel);
            }
        });
    });
}

/// How the output walks over the input.
pub(super) struct Walk<'a> {
    /// The physical lane of each channel.
    pub lanes: &'a [f32],
    pub axes: [(usize, isize, isize); 6],
    pub start: (isize, isize),
    pub pixels_in: usize,
    pixels: usize,
    pub channels: usize,
}

impl<'a> Walk<'a> {
    pub fn new(params: &Params, table: &'a [Block]) -> Self {
        Self {
            lanes: table.as_flattened(),
            axes: params.axes(),
            start: (params.start_channel as isize, params.start_pixel as isize),
            pixels_in: params.pixels_in as usize,
            pixels: params.pixels_out as usize,
            channels: params.channels_out as usize,
        }
    }

    fn value(&self, input: &[Block], index: usize) -> f32 {
        let mut rest = index;
        let (mut channel, mut pixel) = self.start;
        for (len, channels, pixels) in self.axes.into_iter().rev() {
            let at = (rest % len) as isize;
            rest /= len;
            channel += at * channels;
            pixel += at * pixels;
        }
        let lane = self.lanes[channel as usize] as usize;
        input[lane / 4 * self.pixels_in + pixel as usize][lane % 4]
    }

    /// A block of one pixel of the output; padding is 0.
    pub fn block(&self, input: &[Block], block: usize, pixel: usize) -> Block {
        let value = |channel: usize| match channel < self.channels {
            true => self.value(input, channel * self.pixels + pixel),
            false => 0.0,
        };
        [0, 1, 2, 3].map(|lane| value(block * 4 + lane))
    }
}
