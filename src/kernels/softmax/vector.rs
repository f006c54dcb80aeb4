//! `twin.rs` on the threads of the vectors.

use super::{Params, twin::Pixel};
use crate::{block::View, plan::Call};

pub(crate) fn softmax(call: Call<'_>) {
    let params: Params = call.params();
    let input = call.read("input");
    let [channels, blocks, pixels] = [params.channels, params.blocks, params.pixels].map(|v| v as usize);
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    let split = to.split(params.outputs as usize / pixels, blocks, pixels, blocks);
    split.shared_by(call.team, 1).each(call.team, call.output, |mut part| {
        let (input, first) = (from.image(input, part.image), part.first);
        for p in 0..part.pixels {
            let pixel = Pixel::new(input, channels, pixels, first + p);
            for block in 0..blocks {
                part.plane(0, block)[p] = pixel.shares(block);
            }
        }
    });
}
