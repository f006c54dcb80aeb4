//! `twin.rs` on the threads of the vectors.

use super::{Params, twin::best};
use crate::{block::View, plan::Call};

pub(crate) fn softmax_top_k(call: Call<'_>) {
    let params: Params = call.params();
    let input = call.read("input");
    // (Class, bits of its probability) pairs.
    let output: &mut [u32] = bytemuck::cast_slice_mut(call.output);
    let [classes, k, count] = [params.classes, params.k, params.workgroups].map(|v| v as usize);
    let from = View::new(params.input_offset, params.input_stride);
    let split = View { offset: 0, stride: 2 * k }.split(count, 1, 2 * k, 1);
    split.each(call.team, output, |mut part| best(&from.image(input, part.image).as_flattened()[..classes], part.plane(0, 0)));
}
