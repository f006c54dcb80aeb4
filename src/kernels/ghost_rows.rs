//! Host side of `shaders/ghost_rows.wgsl`.

use super::{
    Dispatch, Kernel,
    choice::Tile,
    ghost::{Grid, Module},
};
use crate::plan::Place;

/// How a map is cut for `ghost_rows`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GhostRows {
    /// Columns and rows of a tile, halo not included.
    pub size: [usize; 2],
    /// Tiles in a row and in a column.
    pub count: [usize; 2],
    /// Columns of one invocation.
    pub columns: usize,
    /// Whether some invocation has a column that lies outside the map or on a halo.
    pub ragged: bool,
}

/// Workgroups that a dispatch should have, so that several cores share it.
const WORKGROUPS: usize = 4;

/// The least rows of a tile that is cut for more workgroups: those of the halo are computed twice.
const STRIP: usize = 14;

/// Tiles of `width` columns, halo not included, and how many: as few as have a halo of d / 2 within the `span` columns of a workgroup.
pub fn ghost_rows_columns(width: usize, span: usize, d: usize) -> (usize, usize) {
    let halo = d / 2;
    let size = (1..).map(|count: usize| (width.div_ceil(count), count.min(3) - 1)).find(|(size, sides)| size + sides * halo <= span);
    let (size, _) = size.expect("a workgroup has more columns than two halos");
    (size, width.div_ceil(size))
}

/// The tiles for `n` maps of `width` x `height` in `tiles_channel` tiles of channels: of whole columns where that makes enough workgroups.
pub fn ghost_rows_tiles(n: usize, [width, height]: [usize; 2], d: usize, lanes: u32, columns: usize, tiles_channel: usize) -> GhostRows {
    let span = lanes as usize * columns;
    let (size_x, count_x) = ghost_rows_columns(width, span, d);
    let wanted = WORKGROUPS.div_ceil(n * count_x * tiles_channel);
    let size_y = height.div_ceil(wanted).max(STRIP).min(height);
    GhostRows { size: [size_x, size_y], count: [count_x, height.div_ceil(size_y)], columns, ragged: count_x > 1 || width != span }
}

/// A whole ghost module with one group of ghosts on `n` maps; `tile.pixels` are columns times rows of an invocation.
pub fn ghost_rows(module: &Module, rows: GhostRows, tile: Tile, input: Place, output: Place) -> Dispatch {
    let (params, workgroups) = module.params(&Grid { size: rows.size, count: rows.count }, &tile, input, output);
    let at_a_time = (tile.pixels as usize / rows.columns).max(1);
    let mut defines = module.defines();
    defines.extend([
        ("LANES", tile.invocations.into()),
        ("COLUMNS", rows.columns as i64),
        ("ROWS", at_a_time as i64),
        ("PIXELS", (rows.columns * at_a_time) as i64),
        ("BLOCKS", tile.blocks.into()),
        ("UNROLL", tile.unroll.into()),
        ("RAGGED", rows.ragged.into()),
        ("ROLLED", (rows.columns == 1).into()),
        ("MAP_ROWS", 21),
    ]);
    Dispatch::new(Kernel::GhostRows, &defines, &params, workgroups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_with_their_halo() {
        for (width, height) in [(7, 7), (14, 14), (28, 28), (56, 56), (112, 112), (1, 1), (33, 47), (300, 1), (15, 200), (8, 9)] {
            for d in [1, 3] {
                for (lanes, columns) in [(4, 2), (4, 4), (8, 1), (8, 4), (8, 7), (8, 14)] {
                    let rows = ghost_rows_tiles(1, [width, height], d, lanes, columns, 1);
                    let case = format!("{width} x {height}, d {d}, {lanes} x {columns}: {rows:?}");
                    assert!(rows.size[0] * rows.count[0] >= width && rows.size[0] * (rows.count[0] - 1) < width, "{case}");
                    assert!(rows.size[1] * rows.count[1] >= height && rows.size[1] * (rows.count[1] - 1) < height, "{case}");
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
        assert_eq!(ghost_rows_tiles(1, [112, 112], 3, 8, 14, 1).size, [112, 28]);
        assert_eq!(ghost_rows_tiles(8, [112, 112], 3, 8, 14, 1).size, [112, 112]);
    }
}
