//! Weights in the order in which the kernels read them: permuted to the physical lanes, padding
//! lanes zero.

use super::layout::{Layout, PAD};
use crate::graph::Activated;

/// Input blocks of packed weights of kernels that take several at a time: padded with zeros to a
/// multiple of four.
pub(crate) const fn padded(blocks_in: usize) -> usize {
    blocks_in.next_multiple_of(4)
}

/// How weights are packed by tiles of output blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiling {
    /// Blocks of a tile.
    pub blocks: usize,
    /// In rows of all output lanes of a tile, as the CPU's vectors want them.
    pub rows: bool,
}

impl Tiling {
    /// What tells it from others in a constant's key.
    pub(crate) fn variant(self) -> usize {
        self.blocks + if self.rows { 32 } else { 0 }
    }
}

/// Filters of a convolution, row-major.
pub(crate) struct Filters<'a> {
    /// `[c_out][c_in / groups][taps]`.
    pub values: &'a [f32],
    /// Input channels.
    pub c_in: usize,
    /// Independent groups of channels.
    pub groups: usize,
    /// Taps of one filter on one channel.
    pub taps: usize,
}

impl<'a> Filters<'a> {
    /// Of a 1x1 convolution: a matrix `[c_out][c_in]`.
    fn matrix(values: &'a [f32], c_in: usize) -> Self {
        Self { values, c_in, groups: 1, taps: 1 }
    }
}

/// A matrix `[c_out][c_in]`: `[output block][input block][input lane][output lane]`.
pub(crate) fn matrix(values: &[f32], input: &Layout, output: &Layout, c_in: usize) -> Vec<f32> {
    let tile = Tiling { blocks: 1, rows: false };
    conv2d(&Filters::matrix(values, c_in), input, output, tile, &Windows::whole(input.blocks(), output.blocks()))
}

/// A matrix `[c_out][c_in]` by tiles:
/// `[tile][input block][block of tile][input lane][output lane]`, or in rows.
/// Input blocks are padded as [`padded`] says.
pub(crate) fn tiled_matrix(values: &[f32], input: &Layout, output: &Layout, tile: Tiling, c_in: usize) -> Vec<f32> {
    let windows = Windows::whole(padded(input.blocks()), output.blocks().div_ceil(tile.blocks));
    conv2d(&Filters::matrix(values, c_in), input, output, tile, &windows)
}

/// As [`matrix`] with one block a tile, but input block by input block:
/// `[input block][output block][input lane][output lane]`.
pub(crate) fn matrix_by_input(values: &[f32], input: &Layout, output: &Layout, c_in: usize) -> Vec<f32> {
    let by_output = matrix(values, input, output, c_in);
    let (ins, outs) = (input.blocks(), output.blocks());
    (0..ins).flat_map(|i| (0..outs).map(move |o| (o * ins + i) * 16)).flat_map(|at| by_output[at..at + 16].iter().copied()).collect()
}

/// The input blocks that each tile of output blocks sums over.
pub(crate) struct Windows {
    /// Each tile's first input block.
    pub first: Vec<usize>,
    /// How many input blocks every tile reads.
    pub blocks: usize,
}

impl Windows {
    fn whole(blocks: usize, tiles: usize) -> Self {
        Self { first: vec![0; tiles], blocks }
    }

    /// The blocks that hold the channels of each tile's groups.
    pub(crate) fn new(input: &Layout, output: &Layout, tile: usize, c_in: usize, c_out: usize, groups: usize) -> Self {
        let tiles = output.blocks().div_ceil(tile);
        if groups == 1 {
            return Self::whole(input.blocks(), tiles);
        }
        let lane_of = input.lane_of(c_in);
        let (in_group, out_group) = (c_in / groups, c_out / groups);
        let ranges: Vec<(usize, usize)> = output
            .lanes()
            .chunks(tile * 4)
            .map(|lanes| {
                let channels = lanes.iter().filter(|l| **l != PAD).flat_map(|&o| {
                    let group = o as usize / out_group;
                    group * in_group..(group + 1) * in_group
                });
                let blocks = channels.map(|i| lane_of[i] as usize / 4);
                blocks.fold((usize::MAX, 0), |(low, high), b| (low.min(b), high.max(b + 1)))
            })
            .collect();
        let blocks = ranges.iter().map(|(low, high)| high.saturating_sub(*low)).max().unwrap_or(0).max(1);
        let first = ranges.iter().map(|(low, _)| (*low).min(input.blocks() - blocks)).collect();
        Self { first, blocks }
    }
}

/// Filters by tiles of output blocks:
/// `[tile][block of window][tap][block of tile][input lane][output lane]`, or in rows
/// `[tile][block of window][tap][input lane][block of tile][output lane]`.
pub(crate) fn conv2d(filters: &Filters<'_>, input: &Layout, output: &Layout, tile: Tiling, windows: &Windows) -> Vec<f32> {
    let &Filters { values, c_in, groups, taps } = filters;
    let c_out = values.len() * groups / (c_in * taps);
    let (in_group, out_group) = (c_in / groups, c_out / groups);
    let mut packed = vec![0.0; windows.first.len() * windows.blocks * taps * tile.blocks * 16];
    for (lane_out, &o) in output.lanes().iter().enumerate() {
        if o == PAD {
            continue;
        }
        let o = o as usize;
        let (tile_at, block) = (lane_out / 4 / tile.blocks, lane_out / 4 % tile.blocks);
        // From one input lane to the next, and from one block of a tile to the next.
        let [lane_step, block_step] = if tile.rows { [tile.blocks * 4, 4] } else { [4, 16] };
        let group = o / out_group;
        let first = windows.first[tile_at] * 4;
        for (lane_in, &i) in input.lanes().iter().enumerate().skip(first).take(windows.blocks * 4) {
            if i == PAD || i as usize / in_group != group {
                continue;
            }
            let window_block = (lane_in - first) / 4;
            for tap in 0..taps {
                let matrix = ((tile_at * windows.blocks + window_block) * taps + tap) * tile.blocks * 16;
                let at = matrix + lane_in % 4 * lane_step + block * block_step + lane_out % 4;
                packed[at] = values[(o * in_group + i as usize % in_group) * taps + tap];
            }
        }
    }
    packed
}

/// Depthwise filters `[c][taps]`: `[block][tap][lane]`.
pub(crate) fn depthwise(values: &[f32], lanes: &[u32], taps: usize) -> Vec<f32> {
    let mut packed = vec![0.0; lanes.len() * taps];
    for (lane, &c) in lanes.iter().enumerate() {
        if c != PAD {
            for tap in 0..taps {
                packed[(lane / 4 * taps + tap) * 4 + lane % 4] = values[c as usize * taps + tap];
            }
        }
    }
    packed
}

/// A bias as [`vector`], and behind it as many values of its activation's parameter, if there is
/// one.
pub(crate) fn bias(bias: Option<&[f32]>, activation: Activated<'_>, lanes: &[u32], tile: usize) -> Vec<f32> {
    let mut packed = vector(bias, lanes, tile);
    if activation.parameter.is_some() {
        packed.extend(vector(activation.parameter, lanes, tile));
    }
    packed
}

/// A vector `[c]` by lanes, padded with zeros to whole tiles of blocks. `None` is a vector of
/// zeros.
pub(crate) fn vector(values: Option<&[f32]>, lanes: &[u32], tile: usize) -> Vec<f32> {
    let mut packed: Vec<f32> = lanes.iter().map(|&c| if c == PAD { 0.0 } else { values.map_or(0.0, |v| v[c as usize]) }).collect();
    packed.resize(lanes.len().next_multiple_of(tile * 4), 0.0);
    packed
}
