//! The twin of `shaders/linear.wgsl`.

use super::Params;
use crate::{
    block::{Block, View, ZERO, activate, add, each, multiply_add, splat},
    parallel::*,
    plan::Call,
};

pub(crate) fn linear(call: Call<'_>) {
    let params: Params = call.params();
    let activation = call.activation("ACTIVATION");
    let [input, weight, bias] = ["input", "weight", "bias"].map(|name| call.read(name));
    let [blocks_in, blocks_out] = [params.blocks_in, params.blocks_out].map(|v| v as usize);
    let count = (params.workgroups / params.blocks_out) as usize;
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    to.images(call.output, count, blocks_out).enumerate().for_each(|(n, image)| {
        let x = &from.image(input, n)[..blocks_in];
        image.par_iter_mut().enumerate().for_each(|(block, out)| {
            let sum = add(row(x, &weight[block * blocks_in * 4..]), bias[block]);
            *out = activate(sum, activation);
        });
    });
}

/// The product of a vector and the weights of one output block: `[input block][input lane]`.
pub(crate) fn row(x: &[Block], weight: &[Block]) -> Block {
    // A sum for each input lane: four chains of additions do not wait for each other.
    let mut sums = [ZERO; 4];
    for (x, rows) in x.iter().zip(weight.chunks_exact(4)) {
        each!(lane < 4, sums[lane] = multiply_add(splat(x[lane]), rows[lane], sums[lane]));
    }
    sums.into_iter().fold(ZERO, add)
}
