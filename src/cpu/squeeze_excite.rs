//! Twin of `shaders/squeeze_excite.wgsl`.

use super::{
    block::{Block, ZERO, activate, add, matrices, scale},
    linear::row,
};
use crate::kernels::SqueezeExciteParams;
use crate::parallel::*;

/// Blocks that the means and the reduced layer of one image take.
pub(crate) fn hidden_len(params: &SqueezeExciteParams) -> usize {
    (params.blocks + params.blocks_reduced) as usize
}

/// `hidden` holds all images' means and reduced layers.
pub(crate) fn squeeze_excite(
    params: &SqueezeExciteParams,
    [reduce_activation, gate_activation]: [u32; 2],
    sums: &[Block],
    weight: &[Block],
    bias: &[Block],
    hidden: &mut [Block],
    gate: &mut [Block],
) {
    let [blocks, tiles] = [params.blocks, params.tiles].map(|v| v as usize);
    let (weight, expand_weight) = weight.split_at(params.expand_offset as usize);
    let (bias, expand_bias) = bias.split_at(params.expand_bias_offset as usize);
    let images = gate.par_chunks_mut(blocks).zip(hidden.par_chunks_mut(hidden_len(params))).take(params.images());
    images.enumerate().for_each(|(n, (gate, hidden))| {
        let (mean, reduced) = hidden.split_at_mut(blocks);
        mean.fill(ZERO);
        for tile in sums[n * tiles * blocks..].chunks_exact(blocks).take(tiles) {
            mean.iter_mut().zip(tile).for_each(|(mean, &sum)| *mean = add(*mean, sum));
        }
        mean.iter_mut().for_each(|mean| *mean = scale(*mean, 1.0 / params.pixels as f32));
        let mean = &*mean;
        reduced.par_iter_mut().enumerate().for_each(|(r, out)| {
            *out = activate(add(row(mean, &weight[r * blocks * 4..]), bias[r]), reduce_activation);
        });
        let reduced = &*reduced;
        gate.par_iter_mut().enumerate().for_each(|(block, out)| {
            let mut sum = [[expand_bias[block]]];
            for (r, &x) in reduced.iter().enumerate() {
                matrices(&mut sum, [x], &expand_weight[(r * blocks + block) * 4..]);
            }
            *out = activate(sum[0][0], gate_activation);
        });
    });
}
