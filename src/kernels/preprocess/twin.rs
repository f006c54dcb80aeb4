//! The twin of `shaders/preprocess.wgsl`.

use super::Params;
use crate::{
    block::{View, multiply_add},
    parallel::*,
    plan::Call,
};

pub(crate) fn preprocess(call: Call<'_>) {
    let params: Params = call.params();
    let scale_shift = call.read("scale_shift");
    let pixels: &[u32] = bytemuck::cast_slice(call.read("pixels"));
    let of_image = params.pixels as usize;
    let to = View::new(params.output_offset, params.output_stride);
    let images = to.images(call.output, params.outputs as usize / of_image, of_image);
    images.zip(pixels.par_chunks(of_image)).for_each(|(image, pixels)| {
        for (out, rgba) in image.iter_mut().zip(pixels) {
            let [red, green, blue, _] = rgba.to_le_bytes();
            *out = multiply_add([red.into(), green.into(), blue.into(), 0.0], scale_shift[0], scale_shift[1]);
        }
    });
}
