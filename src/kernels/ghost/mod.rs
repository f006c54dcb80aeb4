//! A whole ghost module in one launch: `shaders/ghost.wgsl`.

#[doc(hidden)]
pub mod cases;
mod tile;
pub(crate) mod twin;
pub(crate) mod vector;

use crate::{
    device::{Choice, Tile},
    graph::{Activated, Constant},
    plan::{
        Dispatch,
        emit::{Emitter, Gate, Launch, Owner, Residual, Sums, TensorView},
        layout::Layout,
        pack::{self, padded},
    },
};

params! {
    width, height, blocks_in, blocks_primary, tile_width, tile_height, tiles_x, tiles_y, tiles_channel, workgroups, input_offset,
    input_stride, output_offset, output_stride, residual_offset, residual_stride, unscale, cheap_offset, cheap_bias_offset, ghost_groups,
}

kernel!("ghost", writes ["output", "sums"], twin twin::ghost, vector vector::ghost);

/// One of a module's two convolutions.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// The primary convolution's `[m, c_in, 1, 1]`, or the cheap operation's
    /// `[m * (s - 1), 1, d, d]`.
    pub weight: &'a Constant,
    /// A value for each of its maps.
    pub bias: Option<&'a [f32]>,
    /// Applied to its sums.
    pub activation: Activated<'a>,
}

/// A ghost module: intrinsic maps, and ghosts of them (Han et al., CVPR 2020, section 3.1).
#[derive(Clone)]
pub struct Problem<'a> {
    /// The step's name.
    pub name: String,
    /// Whose weights these are.
    pub owner: Owner,
    /// `[n, c_in, h, w]`.
    pub input: TensorView,
    /// The primary convolution.
    pub primary: Part<'a>,
    /// The cheap operation.
    pub cheap: Part<'a>,
    /// Scales the input's channels.
    pub gate: Option<Gate>,
    /// Added to the result.
    pub residual: Option<Residual>,
    /// Whether a squeeze-and-excite wants each channel's sum. Only modules with one ghost of each
    /// map and no residual can give it.
    pub sums: bool,
    /// `[n, c_out, h, w]`: the intrinsic maps' blocks, then each group of ghosts'.
    pub output: TensorView,
}

/// What of a ghost module decides how it is cut.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Images.
    pub n: usize,
    /// Rows and columns of a map.
    pub map: [usize; 2],
    /// Blocks of the input and of the intrinsic maps.
    pub blocks: [usize; 2],
    /// Side of the cheap operation's filters.
    pub d: usize,
    /// Whether the input passes a gate.
    pub gate: bool,
    /// Whether each channel is summed up.
    pub sums: bool,
}

/// How a ghost module is cut into workgroups.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    tiles: Tiles,
    tile: Tile,
}

impl Cut {
    /// For a module of this size; `None` where workgroup memory has no room for it.
    pub fn new(size: &Size, choice: &Choice) -> Option<Self> {
        let [h, w] = size.map;
        let tiles = cut(w, h, size.d, choice.ghost_cells())?;
        let count = size.n * tiles.count[0] * tiles.count[1];
        let tile = choice.ghost(tiles.region, tiles.memory_cells(), (size.gate, size.sums), count, size.blocks);
        Some(Self { tiles, tile })
    }
}

/// How a map is cut for the ghost kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiles {
    /// Columns and rows of a tile, halo not included.
    pub size: [usize; 2],
    /// Tiles in a row and in a column.
    pub count: [usize; 2],
    /// Cells of workgroup memory for one block: the tile with a border of d / 2 on all sides, and
    /// what strips read past it.
    pub cells: usize,
    /// Pixels of the largest tile with its halo, as far as they lie on the map: what the primary
    /// convolution computes.
    pub region: usize,
}

impl Tiles {
    /// Cells that the kernel declares for one block: rounded up, for fewer pipelines.
    pub fn memory_cells(&self) -> usize {
        self.cells.next_multiple_of(32)
    }
}

/// Pixels of a row whose ghosts one invocation makes at a time.
const STRIP: usize = 2;

/// The tiles for a map of `width` x `height` and a cheap kernel of `d`, of at most `max_cells`
/// cells. They are whole maps where these fit, else the even cut with the least halo.
fn cut(width: usize, height: usize, d: usize, max_cells: usize) -> Option<Tiles> {
    let halo = d / 2 * 2;
    let mut best: Option<(usize, Tiles)> = None;
    for rows in 1..=height {
        let size_y = height.div_ceil(rows);
        for columns in 1..=width {
            let size_x = width.div_ceil(columns);
            // The last strip of the last row may read past the tile, but does not use that.
            let cells = (size_x + halo) * (size_y + halo) + size_x.next_multiple_of(STRIP) - size_x;
            if cells > max_cells {
                continue;
            }
            // The size may need fewer columns and rows than were asked for: 7 pixels in tiles of 2
            // are 4 tiles.
            let count = [width.div_ceil(size_x), height.div_ceil(size_y)];
            let work = cells * count[0] * count[1];
            if best.is_none_or(|(least, _)| work < least) {
                let region = (size_x + halo).min(width) * (size_y + halo).min(height);
                best = Some((work, Tiles { size: [size_x, size_y], count, cells, region }));
            }
            break; // more columns only add halo
        }
    }
    best.map(|(_, tiles)| tiles)
}

/// Adds the step that solves the problem; gives the sums, where they are wanted.
pub fn lower(problem: &Problem<'_>, Cut { tiles, tile }: Cut, emit: &mut Emitter<'_>) -> Option<Sums> {
    let Problem { input, output, primary, cheap, .. } = problem;
    let shape = input.shape;
    let (m, d) = (primary.weight.shape[0], cheap.weight.shape[2]);
    let intrinsic = Layout::plain(m);
    let tiling = emit.tiling(tile.blocks);
    let blocks = tiling.blocks;
    let products = emit.products(&primary.weight.data, problem.gate.as_ref());
    let ghosts = output.layout.ghosts(m);
    let weights = emit.weights(problem.owner, KERNEL, products.variant(tiling), &|| {
        let mut weights = pack::tiled_matrix(&products.scaled(&primary.weight.data), &input.layout, &intrinsic, tiling, shape.c);
        weights.extend(pack::depthwise(&cheap.weight.data, &ghosts, d * d));
        weights
    });
    let bias = emit.values(problem.owner, KERNEL, "bias", blocks, &|| {
        let mut bias = pack::bias(primary.bias, primary.activation, intrinsic.lanes(), blocks);
        bias.extend(pack::bias(cheap.bias, cheap.activation, &ghosts, 1));
        bias
    });

    let tiles_channel = (intrinsic.blocks() as u32).div_ceil(tile.blocks);
    let count = tiles.count[0] * tiles.count[1];
    let workgroups = (shape.n * count) as u32 * tiles_channel;
    let [residual_offset, residual_stride] = Residual::place(problem.residual.as_ref());
    let params = Params {
        width: shape.w as u32,
        height: shape.h as u32,
        blocks_in: input.blocks() as u32,
        blocks_primary: intrinsic.blocks() as u32,
        tile_width: tiles.size[0] as u32,
        tile_height: tiles.size[1] as u32,
        tiles_x: tiles.count[0] as u32,
        tiles_y: tiles.count[1] as u32,
        tiles_channel,
        workgroups,
        input_offset: input.place.offset,
        input_stride: input.place.stride,
        output_offset: output.place.offset,
        output_stride: output.place.stride,
        residual_offset,
        residual_stride,
        unscale: products.unscale(),
        cheap_offset: tiles_channel * padded(input.blocks()) as u32 * tile.blocks * 4,
        cheap_bias_offset: tiles_channel * tile.blocks * primary.activation.vectors(),
        ghost_groups: (cheap.weight.shape[0] / m) as u32,
    };
    let [residual, residual_activation] = Residual::defines(problem.residual.as_ref());
    let defines = [
        ("D", d as i64),
        ("GATE", problem.gate.is_some().into()),
        ("SUMS", problem.sums.into()),
        ("ACTIVATION", primary.activation.define()),
        ("CHEAP_ACTIVATION", cheap.activation.define()),
        residual,
        residual_activation,
        ("F16", products.halves as i64),
        ("WG", tile.invocations.into()),
        ("PIXELS", tile.pixels.into()),
        ("BLOCKS", tile.blocks.into()),
        ("CELLS", tiles.memory_cells() as i64),
        ("STRIP", STRIP as i64),
        ("CHUNKED", (tiles.region > (tile.invocations * tile.pixels) as usize).into()),
        ("UNROLL", tile.unroll.into()),
        ("SCATTERED", 0),
        ("SUMS_PER_LANE", if problem.sums { 2 * i64::from(tile.blocks) } else { 0 }),
    ];
    let sums = problem.sums.then(|| emit.sums(output, count));
    let launch = Launch::new(&problem.name, Dispatch::new(KERNEL, &defines, &params, workgroups).with_rows(tiling.rows))
        .macs(shape.n * shape.pixels() * (primary.weight.data.len() + cheap.weight.data.len()))
        .reads("input", input)
        .constant("weight", weights)
        .constant("bias", bias)
        .reads_if("gate", problem.gate.as_ref().map(|gate| &gate.view))
        .reads_if("residual", problem.residual.as_ref().map(|residual| &residual.view))
        .writes("output", output)
        .binds_if("sums", sums.map(|sums| sums.storage));
    emit.launch(launch);
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_fit_and_cover() {
        for (w, h, d) in [(7, 7, 3), (14, 14, 3), (28, 28, 3), (112, 112, 3), (1, 1, 3), (33, 47, 5), (300, 1, 3), (20, 24, 7), (15, 15, 1)]
        {
            for max_cells in [256, 480] {
                let tiles = cut(w, h, d, max_cells).unwrap();
                assert!(tiles.cells <= max_cells, "{w} x {h}: {tiles:?}");
                assert!(tiles.size[0] * tiles.count[0] >= w && tiles.size[1] * tiles.count[1] >= h, "{w} x {h}: {tiles:?}");
                assert!(tiles.size[0] * (tiles.count[0] - 1) < w && tiles.size[1] * (tiles.count[1] - 1) < h, "{w} x {h}: {tiles:?}");
            }
        }
        assert_eq!(cut(14, 14, 3, 256).unwrap().count, [1, 1]);
        assert_eq!(cut(112, 112, 3, 256).unwrap().size, [14, 14]);
        assert_eq!(cut(112, 112, 3, 480).unwrap().size, [14, 28]);
        assert_eq!(cut(9, 9, 17, 256), None);
    }
}
