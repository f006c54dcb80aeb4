//! The twin of `shaders/linear.wgsl`.

use super::Params;
use crate::{
    block::{Block, View, ZERO, add, each, multiply_add, splat},
    device::CPU_BLOCKS,
    parallel::*,
    plan::{Call, pack::padded},
};

pub(crate) fn linear(call: Call<'_>) {
    let params: Params = call.params();
    let [input, weight, bias] = ["input", "weight", "bias"].map(|name| call.read(name));
    let [blocks_in, blocks_out] = [params.blocks_in, params.blocks_out].map(|v| v as usize);
    let activation = call.activation("ACTIVATION", bias, call.bias_len(blocks_out));
    let count = (params.workgroups / params.blocks_out) as usize;
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    let rows = call.dispatch.rows();
    to.images(call.output, count, blocks_out).enumerate().for_each(|(n, image)| {
        let x = &from.image(input, n)[..blocks_in];
        image.par_iter_mut().enumerate().for_each(|(block, out)| {
            let sum = add(row(x, weight, Column::new(block, blocks_in, rows)), bias[block]);
            *out = activation.of(sum, block);
        });
    });
}

/// Where the weights of one output block lie.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    /// The first.
    pub start: usize,
    /// From one input block to the next.
    pub input: usize,
    /// From one input lane to the next.
    pub lane: usize,
}

impl Column {
    /// In a matrix that is packed in rows of the output lanes of a tile, or by output blocks.
    pub(crate) fn new(block: usize, blocks_in: usize, rows: bool) -> Self {
        const TILE: usize = CPU_BLOCKS as usize;
        if rows {
            Self { start: block / TILE * padded(blocks_in) * 4 * TILE + block % TILE, input: 4 * TILE, lane: TILE }
        } else {
            Self { start: block * blocks_in * 4, input: 4, lane: 1 }
        }
    }
}

/// The product of a vector and the weights of one output block.
pub(crate) fn row(x: &[Block], weight: &[Block], column: Column) -> Block {
    // A sum for each input lane: four chains of additions do not wait for each other.
    let mut sums = [ZERO; 4];
    for (i, x) in x.iter().enumerate() {
        let at = column.start + i * column.input;
        each!(lane < 4, sums[lane] = multiply_add(splat(x[lane]), weight[at + lane * column.lane], sums[lane]));
    }
    sums.into_iter().fold(ZERO, add)
}
