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

/// The gates of `n` images, each in at most `parts` parts, from sums over `tiles` tiles of maps of `pixels` pixels. `lanes` invocations share what they
/// load: all of a workgroup, or 0.
#[allow(clippy::too_many_arguments)] // what a squeeze-and-excite is; a struct would only repeat the names
pub fn squeeze_excite(
    (n, parts): (usize, u32),
    pixels: usize,
    tiles: usize,
    [blocks, blocks_reduced]: [usize; 2],
    ((invocations, unroll, keeps_means), lanes): ((u32, u32, bool), u32),
    f16: bool,
    [reduce_activation, gate_activation]: [Activation; 2],
) -> Dispatch {
    // No part is empty, and each but the last keeps all lanes at work.
    let part = (blocks as u32).div_ceil(parts).next_multiple_of(lanes.max(1));
    let parts = (blocks as u32).div_ceil(part);
    // As many invocations a block as fit and have inputs; at least one, and a power of two, so that slices never straddle workgroups.
    let slices = |blocks: usize, inputs: usize| {
        let most = (inputs as u32).div_ceil(unroll).next_power_of_two().min(32);
        (invocations / (blocks as u32).next_power_of_two()).clamp(1, most)
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
        ("WG", invocations.into()),
        ("UNROLL", unroll.into()),
        ("LANES", lanes.into()),
        ("MAX_BLOCKS", if keeps_means { max_blocks as i64 } else { 0 }),
        ("MAX_REDUCED", max_reduced as i64),
        ("REDUCE_ACTIVATION", reduce_activation as i64),
        ("GATE_ACTIVATION", gate_activation as i64),
        ("F16", f16.into()),
    ];
    Dispatch::new(Kernel::SqueezeExcite, &defines[..], &params, n as u32 * parts)
}
