//! `twin.rs`, compiled for the level's instructions.

use super::Params;
use crate::{
    block::{Block, View, multiply_add},
    parallel::Part,
    plan::Call,
    simd::{Simd, Work},
};

pub(crate) fn preprocess(call: Call<'_>) {
    let params: Params = call.params();
    let scale_shift = call.read("scale_shift");
    let pixels: &[u32] = bytemuck::cast_slice(call.read("pixels"));
    let of_image = params.pixels as usize;
    let to = View::new(params.output_offset, params.output_stride);
    let (level, team) = (call.level, call.team);
    let split = to.split(params.outputs as usize / of_image, 1, of_image, 1);
    split.shared_by(team, 4).each(team, call.output, |part| {
        let pixels = &pixels[part.image * of_image + part.first..][..part.pixels];
        level.run(Run { pixels, scale: scale_shift[0], shift: scale_shift[1], part });
    });
}

/// One part's work.
struct Run<'a> {
    pixels: &'a [u32],
    scale: Block,
    shift: Block,
    part: Part<'a, Block>,
}

impl Work for Run<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { pixels, scale, shift, mut part } = self;
        for (out, rgba) in part.plane(0, 0).iter_mut().zip(pixels) {
            let [red, green, blue, _] = rgba.to_le_bytes();
            *out = multiply_add([red.into(), green.into(), blue.into(), 0.0], scale, shift);
        }
    }
}
