//! `twin.rs` in rows of sixteen output channels. Weights are read once for all images.

use super::Params;
use crate::{
    block::{View, ZERO, add, scale},
    kernels::linear::vector::{Matrix, Run},
    plan::Call,
    simd,
};

pub(crate) fn squeeze_excite(call: Call<'_>) {
    if !simd::IS_ALL && !call.dispatch.rows() {
        return super::twin::squeeze_excite(call);
    }
    let params: Params = call.params();
    let [sums, weight, bias] = ["sums", "weight", "bias"].map(|name| call.read(name));
    let [blocks, blocks_reduced, tiles] = [params.blocks, params.blocks_reduced, params.tiles].map(|v| v as usize);
    let images = params.images();
    let (weight, expand_weight) = weight.split_at(params.expand_offset as usize);
    let (bias, expand_bias) = bias.split_at(params.expand_bias_offset as usize);
    let (level, team) = (call.level, call.team);
    let [reduce_activation, gate_activation] = ["REDUCE_ACTIVATION", "GATE_ACTIVATION"].map(|name| call.activation(name, &[], 0));
    // The scratch holds all images' means, then their reduced layers.
    let (means, reduced) = call.scratch[..images * params.hidden_len()].split_at_mut(images * blocks);
    let [whole, hidden] = [blocks, blocks_reduced].map(|stride| View { offset: 0, stride });
    let split = whole.split(images, blocks, 1, 64);
    split.each(team, means, |mut part| {
        let sums = &sums[part.image * tiles * blocks..];
        for b in 0..part.planes {
            let sum = (0..tiles).fold(ZERO, |sum, tile| add(sum, sums[tile * blocks + part.plane + b]));
            part.plane(0, b)[0] = scale(sum, 1.0 / params.pixels as f32);
        }
    });
    let reduce = Matrix { blocks_in: blocks, weight, bias, activation: reduce_activation };
    let means = &*means;
    hidden.of_all(images, blocks_reduced).each(team, reduced, |part| level.run(Run { matrix: &reduce, input: means, from: whole, part }));
    let expand = Matrix { blocks_in: blocks_reduced, weight: expand_weight, bias: expand_bias, activation: gate_activation };
    let reduced = &*reduced;
    whole.of_all(images, blocks).each(team, call.output, |part| level.run(Run { matrix: &expand, input: reduced, from: hidden, part }));
}
