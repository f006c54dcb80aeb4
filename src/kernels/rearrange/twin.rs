//! The twin of `shaders/rearrange.wgsl`.

use super::Params;
use crate::{
    block::View,
    parallel::*,
    plan::Call,
};

pub(crate) fn rearrange(call: Call<'_>) {
    let params: Params = call.params();
    let [input, table] = ["input", "table"].map(|name| call.read(name));
    let lanes = table.as_flattened();
    let [pixels_in, pixels, channels, blocks] =
        [params.pixels_in, params.pixels_out, params.channels_out, params.blocks_out].map(|v| v as usize);
    let count = params.outputs as usize / (blocks * pixels);
    let axes = params.axes();
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    to.images(call.output, count, blocks * pixels).enumerate().for_each(|(n, image)| {
        let input = from.image(input, n);
        let value = |index: usize| {
            let mut rest = index;
            let (mut channel, mut pixel) = (params.start_channel as isize, params.start_pixel as isize);
            for (len, channels, pixels) in axes.into_iter().rev() {
                let at = (rest % len) as isize;
                rest /= len;
                channel += at * channels;
                pixel += at * pixels;
            }
            let lane = lanes[channel as usize] as usize;
            input[lane / 4 * pixels_in + pixel as usize][lane % 4]
        };
        image.par_chunks_mut(pixels).enumerate().for_each(|(block, map)| {
            for (pixel, out) in map.iter_mut().enumerate() {
                for (lane, out) in out.iter_mut().enumerate() {
                    let channel = block * 4 + lane;
                    *out = if channel < channels { value(channel * pixels + pixel) } else { 0.0 };
                }
            }
        });
    });
}
