//! The twin of `shaders/softmax.wgsl`.

use super::Params;
use crate::{
    block::{Block, View},
    parallel::*,
    plan::Call,
};

pub(crate) fn softmax(call: Call<'_>) {
    let params: Params = call.params();
    let input = call.read("input");
    let [channels, blocks, pixels] = [params.channels, params.blocks, params.pixels].map(|v| v as usize);
    let count = params.outputs as usize / pixels;
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    to.images(call.output, count, blocks * pixels).enumerate().for_each(|(n, image)| {
        for p in 0..pixels {
            let pixel = Pixel::new(from.image(input, n), channels, pixels, p);
            for block in 0..blocks {
                image[block * pixels + p] = pixel.shares(block);
            }
        }
    });
}

/// The channels of a pixel.
pub(super) struct Pixel<'a> {
    input: &'a [Block],
    channels: usize,
    /// From one block to the next.
    pixels: usize,
    at: usize,
    most: f32,
    total: f32,
}

impl<'a> Pixel<'a> {
    /// Pixel `at` of an image's maps, of `pixels` pixels each.
    pub fn new(input: &'a [Block], channels: usize, pixels: usize, at: usize) -> Self {
        let mut pixel = Self { input, channels, pixels, at, most: 0.0, total: 0.0 };
        pixel.most = (0..channels).map(|channel| pixel.value(channel)).fold(f32::MIN, f32::max);
        pixel.total = (0..channels).map(|channel| (pixel.value(channel) - pixel.most).exp()).sum();
        pixel
    }

    fn value(&self, channel: usize) -> f32 {
        self.input[channel / 4 * self.pixels + self.at][channel % 4]
    }

    /// The shares of a block's channels; padding is 0.
    pub fn shares(&self, block: usize) -> Block {
        let share = |channel: usize| match channel < self.channels {
            true => (self.value(channel) - self.most).exp() / self.total,
            false => 0.0,
        };
        [0, 1, 2, 3].map(|lane| share(block * 4 + lane))
    }
}
