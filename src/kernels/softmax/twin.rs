//! The twin of `shaders/softmax.wgsl`.

use super::Params;
use crate::{block::View, parallel::*, plan::Call};

pub(crate) fn softmax(call: Call<'_>) {
    let params: Params = call.params();
    let input = call.read("input");
    let [channels, blocks, pixels] = [params.channels, params.blocks, params.pixels].map(|v| v as usize);
    let count = params.outputs as usize / pixels;
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    to.images(call.output, count, blocks * pixels).enumerate().for_each(|(n, image)| {
        let input = from.image(input, n);
        for pixel in 0..pixels {
            let value = |channel: usize| input[channel / 4 * pixels + pixel][channel % 4];
            let most = (0..channels).map(value).fold(f32::MIN, f32::max);
            let total: f32 = (0..channels).map(|channel| (value(channel) - most).exp()).sum();
            for block in 0..blocks {
                let share = |channel: usize| if channel < channels { (value(channel) - most).exp() / total } else { 0.0 };
                image[block * pixels + pixel] = [0, 1, 2, 3].map(|lane| share(block * 4 + lane));
            }
        }
    });
}
