//! Host side of `shaders/ghost_rows.wgsl`.

use super::{
    Dispatch, GhostParams, Kernel,
    choice::Tile,
    ghost::{Grid, Module},
};
use crate::{graph::Activation, plan::Place};

/// Parameters of `ghost_rows`: those of `ghost`, and what of its pipeline a module uses.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub struct GhostRowsParams {
    /// As of `ghost`.
    pub ghost: GhostParams,
    /// Gates of the input: 0 or 1.
    pub gates: u32,
    /// Maps that are added to the output: 0 or 1.
    pub residuals: u32,
    /// Whether the primary convolution's activation is ReLU, and the cheap operation's; else none.
    pub relus: [u32; 2],
}

impl GhostRowsParams {
    /// The fields' names, in order.
    pub const FIELDS: &'static [&'static str] = &{
        let mut all = ["gates"; GhostParams::FIELDS.len() + 4];
        let mut at = 0;
        while at < GhostParams::FIELDS.len() {
            all[at] = GhostParams::FIELDS[at];
            at += 1;
        }
        [all[at + 1], all[at + 2], all[at + 3]] = ["residuals", "relu", "cheap_relu"];
        all
    };
}

/// Which of the modules that share a pipeline need something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Need {
    /// None.
    #[default]
    None = 0,
    /// All.
    All = 1,
    /// Some; the parameters say whether a module does.
    Some = 2,
}

impl Need {
    /// Of one module.
    pub fn of(needed: bool) -> Self {
        if needed { Self::All } else { Self::None }
    }

    /// With one module more.
    #[must_use]
    pub fn and(self, needed: bool) -> Self {
        if self == Self::of(needed) { self } else { Self::Some }
    }
}

/// What a pipeline can do beside what every module needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Able {
    /// A gate on the input.
    pub gate: Need,
    /// Maps that are added to the output.
    pub residual: Need,
    /// Sums of each channel, which it always makes.
    pub sums: bool,
    /// ReLU or no activation, as the parameters say; else all modules have the same activations.
    pub relu_flags: bool,
}

/// How a map is cut for `ghost_rows`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GhostRows {
    /// Columns and rows of a tile, halo not included.
    pub size: [usize; 2],
    /// Tiles in a row and in a column.
    pub count: [usize; 2],
    /// Columns of one invocation.
    pub columns: usize,
    /// Rows of an invocation at a time.
    pub rows: usize,
    /// Rows of workgroup memory for one block, where the intrinsic maps of a tile lie there; 0 where they stay in registers.
    pub memory_rows: usize,
    /// Whether some invocation has a column that lies outside the map or on a halo, which matters where values stay in registers.
    pub ragged: bool,
}

/// Workgroups that a dispatch should have, so that several cores share it.
const WORKGROUPS: usize = 4;

/// The least rows of a tile that is cut for more workgroups: those of the halo are computed twice.
const STRIP: usize = 14;

/// Values of 16 bytes in WebGPU's default workgroup memory.
const MEMORY: usize = 1024;

/// Rows of workgroup memory at most: three times seven, what 14 x 14 and 7 x 7 need with their halo.
const MEMORY_ROWS: usize = 21;

/// Tiles of `width` columns, halo not included, and how many: as few as have a halo of d / 2 within the `span` columns of a workgroup.
pub fn ghost_rows_columns(width: usize, span: usize, d: usize) -> (usize, usize) {
    let halo = d / 2;
    let size = (1..).map(|count: usize| (width.div_ceil(count), count.min(3) - 1)).find(|(size, sides)| size + sides * halo <= span);
    let (size, _) = size.expect("a workgroup has more columns than two halos");
    (size, width.div_ceil(size))
}

/// The tiles for `n` maps of `width` x `height` with `columns` columns an invocation and `blocks` intrinsic blocks: of all rows where that
/// makes enough workgroups.
///
/// Where a workgroup has eight columns, its intrinsic maps go through workgroup memory, and loops make the ghosts: that costs a store and a
/// load of each value, and compiles in a third of the time. With more columns a tile would have too few rows there.
pub fn ghost_rows_tiles(n: usize, [width, height]: [usize; 2], d: usize, columns: usize, tile: &Tile, blocks: usize) -> GhostRows {
    let span = tile.invocations as usize * columns;
    let rows = (tile.pixels as usize / columns).max(1);
    let (size_x, count_x) = ghost_rows_columns(width, span, d);
    let wanted = WORKGROUPS.div_ceil(n * count_x * blocks.div_ceil(tile.blocks as usize));
    let mut size_y = height.div_ceil(wanted).max(STRIP).min(height);
    let mut memory_rows = 0;
    if span == 8 {
        memory_rows = (MEMORY / (span * tile.blocks as usize)).min(MEMORY_ROWS) / rows * rows;
        size_y = size_y.min(memory_rows - d / 2 * 2);
    }
    let count = [count_x, height.div_ceil(size_y)];
    let ragged = memory_rows == 0 && (count_x > 1 || width != span);
    GhostRows { size: [size_x, size_y], count, columns, rows, memory_rows, ragged }
}

/// A whole ghost module with one group of ghosts on `n` maps, by a pipeline that is able to do what it needs.
pub fn ghost_rows(module: &Module, able: Able, rows: GhostRows, tile: Tile, input: Place, output: Place) -> Dispatch {
    let (ghost, workgroups) = module.params(&Grid { size: rows.size, count: rows.count }, &tile, input, output);
    let params = GhostRowsParams {
        ghost,
        gates: module.gate.into(),
        residuals: module.residual.is_some().into(),
        relus: module.activations.map(|activation| (activation == Activation::Relu).into()),
    };
    let [activation, cheap_activation] = if able.relu_flags { [0; 2] } else { module.activations.map(|activation| activation as i64) };
    let defines = [
        ("D", module.d as i64),
        ("GATE", able.gate as i64),
        ("RESIDUAL", able.residual as i64),
        ("SUMS", able.sums.into()),
        ("RELU_FLAGS", able.relu_flags.into()),
        ("ACTIVATION", activation),
        ("CHEAP_ACTIVATION", cheap_activation),
        ("F16", module.products.halves as i64),
        ("LANES", tile.invocations.into()),
        ("COLUMNS", rows.columns as i64),
        ("ROWS", rows.rows as i64),
        ("PIXELS", (rows.columns * rows.rows) as i64),
        ("BLOCKS", tile.blocks.into()),
        ("UNROLL", tile.unroll.into()),
        ("RAGGED", rows.ragged.into()),
        ("STORES_IN_LOOP", (tile.invocations == 8).into()),
        ("MEMORY_ROWS", rows.memory_rows as i64),
    ];
    Dispatch::new(Kernel::GhostRows, &defines, &params, workgroups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_with_their_halo() {
        for (width, height) in [(7, 7), (14, 14), (28, 28), (56, 56), (112, 112), (1, 1), (33, 47), (300, 1), (15, 200), (8, 9)] {
            for d in [1, 3] {
                for (lanes, columns, pixels, blocks) in
                    [(4, 2, 4, 2), (4, 4, 4, 2), (8, 1, 7, 6), (8, 1, 5, 8), (8, 1, 16, 8), (8, 4, 4, 5), (8, 7, 7, 3), (8, 14, 14, 2)]
                {
                    let tile = Tile { invocations: lanes, pixels, blocks, unroll: 1 };
                    let rows = ghost_rows_tiles(1, [width, height], d, columns, &tile, 3);
                    let case = format!("{width} x {height}, d {d}, {lanes} x {columns}: {rows:?}");
                    assert!(rows.size[0] * rows.count[0] >= width && rows.size[0] * (rows.count[0] - 1) < width, "{case}");
                    assert!(rows.size[1] * rows.count[1] >= height && rows.size[1] * (rows.count[1] - 1) < height, "{case}");
                    let memory = rows.memory_rows * columns * lanes as usize * blocks as usize;
                    assert!(memory <= MEMORY && rows.memory_rows.is_multiple_of(rows.rows), "{case}");
                    assert!(rows.memory_rows == 0 || (rows.size[1] + d / 2 * 2).min(height) <= rows.memory_rows, "{case}");
                    for tile in 0..rows.count[0] {
                        let [left, right] = [tile, tile + 1].map(|tile| (tile * rows.size[0]).min(width));
                        let [first, end] = [left.saturating_sub(d / 2), (right + d / 2).min(width)];
                        assert!(end - first <= lanes as usize * columns, "{case}");
                    }
                }
            }
        }
        assert_eq!(ghost_rows_columns(112, 112, 3), (112, 1));
        assert_eq!(ghost_rows_columns(14, 8, 3), (7, 2));
        assert_eq!(ghost_rows_columns(56, 16, 3), (14, 4));
        let tile = |pixels, blocks| Tile { invocations: 8, pixels, blocks, unroll: 1 };
        assert_eq!(ghost_rows_tiles(1, [112, 112], 3, 14, &tile(14, 2), 2).size, [112, 28]);
        assert_eq!(ghost_rows_tiles(8, [112, 112], 3, 14, &tile(14, 2), 2).size, [112, 112]);
        assert_eq!(ghost_rows_tiles(1, [14, 14], 3, 1, &tile(7, 6), 84).size, [7, 14]);
        assert_eq!(ghost_rows_tiles(1, [14, 60], 3, 1, &tile(7, 6), 84).size, [7, 19]);
    }
}
