//! `twin.rs` on the threads of the vectors.

use super::{Params, twin::Order};
use crate::{block::View, plan::Call};

pub(crate) fn top_k(call: Call<'_>) {
    let params: Params = call.params();
    let order = Order::new(&call);
    let input = call.read("input");
    let [pixels, blocks] = [params.pixels as usize, (params.k as usize).div_ceil(4)];
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    let split = to.split(params.outputs as usize / pixels, blocks, pixels, blocks);
    split.shared_by(call.team, 1).each(call.team, call.output, |mut part| {
        let (input, first) = (from.image(input, part.image), part.first);
        for p in 0..part.pixels {
            order.first(input, &params, first + p, |block, values| part.plane(0, block)[p] = values);
        }
    });
}
