//! Host side of `shaders/squeeze_excite.wgsl`.

use super::{Dispatch, Kernel};
use crate::graph::Activation;

params! {
    /// Parameters of `squeeze_excite`.
    SqueezeExciteParams {
        blocks, blocks_reduced, tiles, pixels, slices, gate_slices, expand_offset, expand_bias_offset, parts, part, workgroups,
    }
}

/// Workgroup memory sizes the shader is composed with, in blocks: channels and reduced channels.
const SIZES: [[usize; 2]; 2] = [[256, 64], [512, 128]];

/// Invocations of a workgroup.
const INVOCATIONS: u32 = 256;

/// Inputs of an invocation that are under way at a time: 16 loads, by RDNA2's code, where one waited for four.
const UNROLL: u32 = 4;

/// Workgroups that share the gates of few images: idle compute units take parts of the second layer, and each makes all of the first.
const WORKGROUPS: usize = 4;

impl SqueezeExciteParams {
    /// Images whose gates are made.
    pub(crate) fn images(&self) -> usize {
        (self.workgroups / self.parts) as usize
    }

    /// Whether the kernel holds a squeeze-and-excite of this many channels.
    pub(crate) fn holds(channels: usize, reduced: usize) -> bool {
        SIZES.iter().any(|[c, r]| channels.div_ceil(4) <= *c && reduced.div_ceil(4) <= *r)
    }
}

/// The gates of `n` images from sums over `tiles` tiles of maps of `pixels` pixels.
#[allow(clippy::too_many_arguments)] // what a squeeze-and-excite is; a struct would only repeat the names
pub fn squeeze_excite(
    n: usize,
    pixels: usize,
    tiles: usize,
    [blocks, blocks_reduced]: [usize; 2],
    f16: bool,
    [reduce_activation, gate_activation]: [Activation; 2],
) -> Dispatch {
    // No part is empty.
    let part = blocks.div_ceil((WORKGROUPS / n).max(1)) as u32;
    let parts = (blocks as u32).div_ceil(part);
    // As many invocations a block as fit and have inputs; at least one, and a power of two, so that slices never straddle workgroups.
    let slices = |blocks: usize, inputs: usize| {
        let most = (inputs as u32).div_ceil(UNROLL).next_power_of_two().min(32);
        (INVOCATIONS / (blocks as u32).next_power_of_two()).clamp(1, most)
    };
    let params = SqueezeExciteParams {
        blocks: blocks as u32,
        blocks_reduced: blocks_reduced as u32,
        tiles: tiles as u32,
        pixels: pixels as u32,
        slices: slices(blocks_reduced, blocks),
        gate_slices: slices(part as usize, blocks_reduced),
        expand_offset: (blocks * blocks_reduced * 4) as u32,
        expand_bias_offset: blocks_reduced as u32,
        parts,
        part,
        workgroups: n as u32 * parts,
    };
    let [max_blocks, max_reduced] =
        *SIZES.iter().find(|[c, r]| blocks <= *c && blocks_reduced <= *r).expect("fuse_squeeze_excite checks the size");
    let defines = [
        ("WG", INVOCATIONS.into()),
        ("UNROLL", UNROLL.into()),
        ("MAX_BLOCKS", max_blocks as i64),
        ("MAX_REDUCED", max_reduced as i64),
        ("REDUCE_ACTIVATION", reduce_activation as i64),
        ("GATE_ACTIVATION", gate_activation as i64),
        ("F16", f16.into()),
    ];
    Dispatch::new(Kernel::SqueezeExcite, &defines[..], &params, n as u32 * parts)
}
