//! Host side of `shaders/ghost.wgsl`.

use super::{Dispatch, Kernel, Products, choice::Tile, padded};
use crate::{graph::Activation, plan::Place};

params! {
    /// Parameters of `ghost`.
    GhostParams {
        width, height, blocks_in, blocks_primary, tile_width, tile_height, tiles_x, tiles_y, tiles_channel, workgroups, input_offset,
        input_stride, output_offset, output_stride, residual_offset, residual_stride, unscale, cheap_offset, cheap_bias_offset, ghost_groups,
    }
}

/// How a map is cut for the ghost kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GhostTiles {
    /// Columns and rows of a tile, halo not included.
    pub size: [usize; 2],
    /// Tiles in a row and in a column.
    pub count: [usize; 2],
    /// Cells of workgroup memory for one block: the tile with a border of d / 2 on all sides, and what strips read past it.
    pub cells: usize,
    /// Pixels of the largest tile with its halo, as far as they lie on the map: what the primary convolution computes.
    pub region: usize,
}

impl GhostTiles {
    /// Cells that the kernel declares for one block: rounded up, for fewer pipelines.
    pub fn memory_cells(&self) -> usize {
        self.cells.next_multiple_of(32)
    }
}

/// Pixels of a row whose ghosts one invocation makes at a time.
const STRIP: usize = 2;

/// The tiles for a map of `width` x `height` and a cheap kernel of `d`, of at most `max_cells` cells: whole maps where they fit, else the
/// even cut with the least halo.
pub fn ghost_tiles(width: usize, height: usize, d: usize, max_cells: usize) -> Option<GhostTiles> {
    let halo = d / 2 * 2;
    let mut best: Option<(usize, GhostTiles)> = None;
    for rows in 1..=height {
        let size_y = height.div_ceil(rows);
        for columns in 1..=width {
            let size_x = width.div_ceil(columns);
            // The last strip of the last row may read past the tile; what it reads there is not used.
            let cells = (size_x + halo) * (size_y + halo) + size_x.next_multiple_of(STRIP) - size_x;
            if cells > max_cells {
                continue;
            }
            // Columns and rows that the size really needs (7 pixels in tiles of 2 are 4 tiles, however many were asked for).
            let count = [width.div_ceil(size_x), height.div_ceil(size_y)];
            let work = cells * count[0] * count[1];
            if best.is_none_or(|(least, _)| work < least) {
                let region = (size_x + halo).min(width) * (size_y + halo).min(height);
                best = Some((work, GhostTiles { size: [size_x, size_y], count, cells, region }));
            }
            break; // more columns only add halo
        }
    }
    best.map(|(_, tiles)| tiles)
}

/// A ghost module as its kernel sees it.
#[derive(Debug, Clone, Copy)]
pub struct Module {
    /// Images.
    pub n: usize,
    /// Columns and rows of a map.
    pub size: [usize; 2],
    /// Blocks of the input and of the intrinsic maps, and groups of ghosts (s - 1).
    pub blocks: [usize; 3],
    /// Side of the cheap operation's filters.
    pub d: usize,
    /// How the primary convolution multiplies.
    pub products: Products,
    /// Whether the input passes a gate.
    pub gate: bool,
    /// What is added to the output.
    pub residual: Option<Place>,
    /// Whether each channel is summed up, for a squeeze-and-excite.
    pub sums: bool,
    /// The primary convolution's activation and the cheap operation's.
    pub activations: [Activation; 2],
}

/// A whole ghost module on `n` maps.
pub fn ghost(module: &Module, tiles: GhostTiles, tile: Tile, input: Place, output: Place) -> Dispatch {
    let [blocks_in, blocks_primary, ghost_groups] = module.blocks;
    let tiles_channel = (blocks_primary as u32).div_ceil(tile.blocks);
    let workgroups = (module.n * tiles.count[0] * tiles.count[1]) as u32 * tiles_channel;
    let params = GhostParams {
        width: module.size[0] as u32,
        height: module.size[1] as u32,
        blocks_in: blocks_in as u32,
        blocks_primary: blocks_primary as u32,
        tile_width: tiles.size[0] as u32,
        tile_height: tiles.size[1] as u32,
        tiles_x: tiles.count[0] as u32,
        tiles_y: tiles.count[1] as u32,
        tiles_channel,
        workgroups,
        input_offset: input.offset,
        input_stride: input.stride,
        output_offset: output.offset,
        output_stride: output.stride,
        residual_offset: module.residual.map_or(0, |p| p.offset),
        residual_stride: module.residual.map_or(0, |p| p.stride),
        unscale: module.products.unscale(),
        cheap_offset: tiles_channel * padded(blocks_in) as u32 * tile.blocks * 4,
        cheap_bias_offset: tiles_channel * tile.blocks,
        ghost_groups: ghost_groups as u32,
    };
    let defines = [
        ("D", module.d as i64),
        ("GATE", module.gate.into()),
        ("RESIDUAL", module.residual.is_some().into()),
        ("SUMS", module.sums.into()),
        ("ACTIVATION", module.activations[0] as i64),
        ("CHEAP_ACTIVATION", module.activations[1] as i64),
        ("F16", module.products.halves as i64),
        ("WG", tile.invocations.into()),
        ("PIXELS", tile.pixels.into()),
        ("BLOCKS", tile.blocks.into()),
        ("CELLS", tiles.memory_cells() as i64),
        ("STRIP", STRIP as i64),
        ("CHUNKED", (tiles.region > (tile.invocations * tile.pixels) as usize).into()),
        ("UNROLL", tile.unroll.into()),
        ("SUMS_PER_LANE", if module.sums { 2 * i64::from(tile.blocks) } else { 0 }),
    ];
    Dispatch::new(Kernel::Ghost, &defines, &params, workgroups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_fit_and_cover() {
        for (w, h, d) in [(7, 7, 3), (14, 14, 3), (28, 28, 3), (112, 112, 3), (1, 1, 3), (33, 47, 5), (300, 1, 3), (20, 24, 7), (15, 15, 1)]
        {
            for max_cells in [256, 480] {
                let tiles = ghost_tiles(w, h, d, max_cells).unwrap();
                assert!(tiles.cells <= max_cells, "{w} x {h}: {tiles:?}");
                assert!(tiles.size[0] * tiles.count[0] >= w && tiles.size[1] * tiles.count[1] >= h, "{w} x {h}: {tiles:?}");
                assert!(tiles.size[0] * (tiles.count[0] - 1) < w && tiles.size[1] * (tiles.count[1] - 1) < h, "{w} x {h}: {tiles:?}");
            }
        }
        assert_eq!(ghost_tiles(14, 14, 3, 256).unwrap().count, [1, 1]);
        assert_eq!(ghost_tiles(112, 112, 3, 256).unwrap().size, [14, 14]);
        assert_eq!(ghost_tiles(112, 112, 3, 480).unwrap().size, [14, 28]);
        assert_eq!(ghost_tiles(9, 9, 17, 256), None);
    }
}
