//! Twin of `shaders/preprocess.wgsl`.

use super::block::{Block, View, multiply_add};
use crate::kernels::PreprocessParams;
use crate::parallel::*;

pub(crate) fn preprocess(params: &PreprocessParams, pixels: &[u32], scale_shift: &[Block], output: &mut [Block]) {
    let of_image = params.pixels as usize;
    let to = View::new(params.output_offset, params.output_stride);
    let images = to.images(output, params.outputs as usize / of_image, of_image);
    images.zip(pixels.par_chunks(of_image)).for_each(|(image, pixels)| {
        for (out, rgba) in image.iter_mut().zip(pixels) {
            let [red, green, blue, _] = rgba.to_le_bytes();
            *out = multiply_add([red.into(), green.into(), blue.into(), 0.0], scale_shift[0], scale_shift[1]);
        }
    });
}
