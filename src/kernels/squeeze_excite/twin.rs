//! The twin of `shaders/squeeze_excite.wgsl`.

use super::Params;
use crate::{
    block::{ZERO, add, scale},
    kernels::linear::twin::{Column, row},
    parallel::*,
    plan::Call,
};

pub(crate) fn squeeze_excite(call: Call<'_>) {
    let params: Params = call.params();
    let [reduce_activation, gate_activation] = ["REDUCE_ACTIVATION", "GATE_ACTIVATION"].map(|name| call.activation(name, &[], 0));
    let [sums, weight, bias] = ["sums", "weight", "bias"].map(|name| call.read(name));
    let rows = call.dispatch.rows();
    let [blocks, tiles] = [params.blocks, params.tiles].map(|v| v as usize);
    let (weight, expand_weight) = weight.split_at(params.expand_offset as usize);
    let (bias, expand_bias) = bias.split_at(params.expand_bias_offset as usize);
    // The scratch holds all images' means and reduced layers.
    let images = call.output.par_chunks_mut(blocks).zip(call.scratch.par_chunks_mut(params.hidden_len())).take(params.images());
    images.enumerate().for_each(|(n, (gate, hidden))| {
        let (mean, reduced) = hidden.split_at_mut(blocks);
        mean.fill(ZERO);
        for tile in sums[n * tiles * blocks..].chunks_exact(blocks).take(tiles) {
            mean.iter_mut().zip(tile).for_each(|(mean, &sum)| *mean = add(*mean, sum));
        }
        mean.iter_mut().for_each(|mean| *mean = scale(*mean, 1.0 / params.pixels as f32));
        let mean = &*mean;
        reduced.par_iter_mut().enumerate().for_each(|(r, out)| {
            *out = reduce_activation.of(add(row(mean, weight, Column::new(r, blocks, rows)), bias[r]), r);
        });
        let reduced = &*reduced;
        gate.par_iter_mut().enumerate().for_each(|(block, out)| {
            let column =
                if rows { Column::new(block, reduced.len(), rows) } else { Column { start: block * 4, input: blocks * 4, lane: 1 } };
            *out = gate_activation.of(add(row(reduced, expand_weight, column), expand_bias[block]), block);
        });
    });
}
