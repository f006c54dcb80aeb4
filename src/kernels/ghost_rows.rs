//! Host side of `shaders/ghost_rows.wgsl`.

use super::{
    Dispatch, GhostParams, Kernel,
    choice::{Route, RowsTile, Tile},
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
    /// Rows of an invocation at a time; 0 where invocations make any pixels of the intrinsic maps.
    pub rows: usize,
    /// Where the intrinsic maps are.
    pub route: Route,
    /// Whether some invocation has a column that lies outside the map or on a halo, whose values no ghost may take.
    pub ragged: bool,
}

/// The least rows of a strip of a map, but for its last; those of its halo are computed twice.
const STRIP: usize = 7;

/// Into how many strips a map is cut, of which `tiles` workgroups each make a part of the channels, so that `workers` have made all soonest; and how
/// many times one of them then sums over the input.
pub(super) fn ghost_rows_strips(tile: &RowsTile, tiles: usize, [width, height]: [usize; 2], d: usize, workers: u32) -> (usize, usize) {
    let RowsTile { columns, route, tile } = tile;
    let pixels = tile.pixels as usize;
    let sums = |rows: usize| match route {
        Route::Registers => rows.div_ceil((pixels / columns).max(1)),
        Route::Runs | Route::Parts => (rows * width).div_ceil(tile.invocations as usize * pixels),
    };
    let halo = |strips: usize| d / 2 * strips.min(3).saturating_sub(1);
    let turns = |strips: usize| (tiles * strips).div_ceil(workers.max(1) as usize) * sums(height.div_ceil(strips) + halo(strips));
    let strips = (1..=(height / STRIP).max(1)).min_by_key(|&strips| turns(strips)).unwrap_or(1);
    (strips, turns(strips))
}

/// Rows of a tile and its halo at most, where a map's columns are made part by part.
const PART_ROWS: usize = 128;

/// Tiles of `width` columns, halo not included, and how many: as few as have a halo of d / 2 within the `span` columns of a workgroup.
pub fn ghost_rows_columns(width: usize, span: usize, d: usize) -> (usize, usize) {
    let halo = d / 2;
    let size = (1..).map(|count: usize| (width.div_ceil(count), count.min(3) - 1)).find(|(size, sides)| size + sides * halo <= span);
    let (size, _) = size.expect("a workgroup has more columns than two halos");
    (size, width.div_ceil(size))
}

/// The tiles for `n` maps of `width` x `height` and `blocks` intrinsic blocks, which `workers` share.
///
/// Where its intrinsic maps go through the output, a tile has all columns of the map, so that of a halo it has rows only.
pub fn ghost_rows_tiles(n: usize, [width, height]: [usize; 2], d: usize, rows_tile: &RowsTile, blocks: usize, workers: u32) -> GhostRows {
    let &RowsTile { columns, route, tile } = rows_tile;
    let span = tile.invocations as usize * columns;
    assert!(route != Route::Runs || width <= span, "runs of {width} columns for a workgroup of {span}");
    let rows = if route == Route::Registers { (tile.pixels as usize / columns).max(1) } else { 0 };
    let (size_x, count_x) = if route == Route::Registers { ghost_rows_columns(width, span, d) } else { (width, 1) };
    let (strips, _) = ghost_rows_strips(rows_tile, n * count_x * blocks.div_ceil(tile.blocks as usize), [width, height], d, workers);
    let mut size_y = height.div_ceil(strips);
    if route == Route::Parts {
        size_y = size_y.min(PART_ROWS - d / 2 * 2);
    }
    let count = [count_x, height.div_ceil(size_y)];
    let ragged = match route {
        Route::Registers => count_x > 1 || width != span,
        // Always, so that maps of other widths share the pipeline; without, lavapipe takes a tenth longer for 7 x 7.
        Route::Runs => true,
        Route::Parts => !width.is_multiple_of(span),
    };
    GhostRows { size: [size_x, size_y], count, columns, rows, route, ragged }
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
        ("PIXELS", if rows.rows == 0 { tile.pixels.into() } else { (rows.columns * rows.rows) as i64 }),
        ("BLOCKS", tile.blocks.into()),
        ("UNROLL", tile.unroll.into()),
        ("RAGGED", rows.ragged.into()),
        ("ROUTE", rows.route as i64),
        ("PARTS", if rows.route == Route::Parts { PART_ROWS as i64 } else { 0 }),
    ];
    Dispatch::new(Kernel::GhostRows, &defines, &params, workgroups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(lanes: u32, columns: usize, route: Route, pixels: u32, blocks: u32) -> RowsTile {
        RowsTile { columns, route, tile: Tile { invocations: lanes, pixels, blocks, unroll: 1 } }
    }

    #[test]
    fn tiles_cover_with_their_halo() {
        let tiles = [
            tile(4, 4, Route::Runs, 13, 5),
            tile(4, 7, Route::Parts, 14, 3),
            tile(8, 7, Route::Runs, 7, 8),
            tile(8, 4, Route::Registers, 4, 5),
            tile(8, 7, Route::Registers, 7, 3),
            tile(8, 14, Route::Registers, 14, 2),
        ];
        for (width, height) in [(7, 7), (14, 14), (28, 28), (56, 56), (112, 112), (1, 1), (33, 47), (300, 1), (15, 200), (8, 9), (40, 900)]
        {
            for (d, tile, workers) in [1, 3].into_iter().flat_map(|d| tiles.iter().flat_map(move |t| [1, 2, 16].map(|w| (d, t, w)))) {
                let span = tile.tile.invocations as usize * tile.columns;
                if tile.route == Route::Runs && width > span {
                    continue;
                }
                let rows = ghost_rows_tiles(1, [width, height], d, tile, 3, workers);
                let case = format!("{width} x {height}, d {d}, {workers} workers, {tile:?}: {rows:?}");
                assert!(rows.size[0] * rows.count[0] >= width && rows.size[0] * (rows.count[0] - 1) < width, "{case}");
                assert!(rows.size[1] * rows.count[1] >= height && rows.size[1] * (rows.count[1] - 1) < height, "{case}");
                // A row of the halo lies where a ghost will be, each in another row.
                assert!(rows.count[1] <= 2 || rows.size[1] > 1, "{case}");
                if rows.route != Route::Registers {
                    let rows_fit = rows.route == Route::Runs || rows.size[1] + d / 2 * 2 <= PART_ROWS;
                    assert!(rows.count[0] == 1 && rows_fit, "{case}");
                    continue;
                }
                for tile in 0..rows.count[0] {
                    let [left, right] = [tile, tile + 1].map(|tile| (tile * rows.size[0]).min(width));
                    let [first, end] = [left.saturating_sub(d / 2), (right + d / 2).min(width)];
                    assert!(end - first <= span, "{case}");
                }
            }
        }
        assert_eq!(ghost_rows_columns(112, 112, 3), (112, 1));
        assert_eq!(ghost_rows_columns(14, 8, 3), (7, 2));
        assert_eq!(ghost_rows_columns(56, 16, 3), (14, 4));
    }

    #[test]
    fn strips_share_the_work_out() {
        let size = |n, side, tile: &RowsTile, blocks, workers| ghost_rows_tiles(n, [side, side], 3, tile, blocks, workers).size[1];
        let large = tile(8, 14, Route::Registers, 14, 2);
        assert_eq!([1, 2, 4].map(|workers| size(1, 112, &large, 2, workers)), [112, 56, 28]);
        assert_eq!(size(8, 112, &large, 2, 2), 112);
        // Three workgroups for two workers: all are made in halves.
        let small = tile(4, 4, Route::Runs, 8, 5);
        assert_eq!([10, 14].map(|blocks| size(1, 14, &small, blocks, 2)), [14, 7]);
    }
}
