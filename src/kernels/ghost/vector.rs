//! `twin.rs` in rows of sixteen lanes.
//!
//! A tile's intrinsic maps are made some rows at a time, and their ghosts while these rows are in
//! the cache. Where there are too few tiles for the threads, they first share the intrinsic maps'
//! pixels and then the ghosts' planes.

use super::{
    Params,
    tile::{self, Tile, with_room},
};
use crate::{
    block::{Block, Residual, View},
    kernels::{
        depthwise::{
            twin::{Filters, Window},
            vector::rectangle,
        },
        pointwise::vector::{Layer, Maps},
    },
    parallel::{Part, Split},
    plan::Call,
    simd::{
        self, Simd, Work,
        band::{Band, with_band},
        rows::{TILE, add_to},
    },
};

/// Blocks of a tile's intrinsic maps that are made before their ghosts: a part of the second cache.
const ROOM: usize = 8192;

pub(crate) fn ghost(call: Call<'_>) {
    if !simd::IS_ALL && !call.dispatch.rows() {
        return super::twin::ghost(call);
    }
    let params: Params = call.params();
    let d = call.define("D");
    let [input, weight, bias] = ["input", "weight", "bias"].map(|name| call.read(name));
    let (gate, residual) = (call.maybe("gate"), call.residual(params.residual_offset, params.residual_stride));
    let [width, height, blocks_in, primary] = [params.width, params.height, params.blocks_in, params.blocks_primary].map(|v| v as usize);
    let (pixels, groups) = (width * height, params.ghost_groups as usize);
    let tiles = (params.tiles_x * params.tiles_y) as usize;
    let count = params.workgroups as usize / (tiles * params.tiles_channel as usize);
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    let (level, team) = (call.level, call.team);
    let (_, cheap_bias) = bias.split_at(params.cheap_bias_offset as usize);
    let module = Module {
        layer: Layer {
            blocks_in,
            weight,
            bias,
            activation: call.activation("ACTIVATION", bias, call.bias_len(primary)),
            tiles: primary.div_ceil(TILE),
            stride: team.threads(),
        },
        cheap: Filters {
            blocks_in: primary,
            weight: &weight[params.cheap_offset as usize..],
            bias: cheap_bias,
            activation: call.activation("CHEAP_ACTIVATION", cheap_bias, primary * groups),
        },
        window: Window {
            width_in: width,
            height_in: height,
            width_out: width,
            height_out: height,
            kernel: [d; 2],
            stride: [1; 2],
            pad: [d / 2; 2],
        },
        primary,
        groups,
    };
    let image = |n: usize| Image {
        maps: Maps { input: from.image(input, n), blocks: &[], pixels, gate: gate.map(|gate| &gate[n * blocks_in..][..blocks_in]) },
        residual: residual.map(|residual| residual.image(n)),
    };
    let whole = Split { groups: 1 + groups, ..to.split(count, primary, pixels, TILE) };
    let intrinsic = Split { groups: 1, ..whole }.shared_by(team, TILE);
    if intrinsic.run == pixels {
        // Rows of four registers leave none for a tile's filters.
        let serves = !simd::IS_ALL && tile::serves(d, groups, width, module.layer.activation.kind);
        whole.each(team, call.output, |part| {
            let (module, image) = (&module, image(part.image));
            // Of a tile with half its channels, half the filters would be for nothing.
            if serves && part.planes > TILE / 2 {
                let (Image { maps, residual }, Module { layer, cheap, .. }) = (image, module);
                with_room(|room| level.run(Tile { layer, cheap, size: [height, width], primary, maps, residual, room, part }));
            } else {
                with_band(|band| level.run(Run { module, image, intrinsic: true, band, part }));
            }
        });
    } else {
        intrinsic.each(team, call.output, |part| level.run(Intrinsic { module: &module, image: image(part.image), part }));
        Split { tile: 1, ..whole }.each(team, call.output, |part| {
            with_band(|band| level.run(Run { module: &module, image: image(part.image), intrinsic: false, band, part }));
        });
    }
    let Some(sums) = call.sums else { return };
    let blocks_out = primary * (1 + groups);
    let output = &*call.output;
    let [tile_width, tile_height, tiles_x] = [params.tile_width, params.tile_height, params.tiles_x].map(|v| v as usize);
    View { offset: 0, stride: blocks_out }.split(count * tiles, blocks_out, 1, TILE).each(team, sums, |part| {
        let (n, tile) = (part.image / tiles, part.image % tiles);
        let (x, y) = (tile % tiles_x * tile_width, tile / tiles_x * tile_height);
        let region = [y..height.min(y + tile_height), x..width.min(x + tile_width)];
        level.run(Sums { maps: to.image(output, n), size: [height, width], region, part });
    });
}

/// The module's constants.
struct Module<'a> {
    layer: Layer<'a>,
    cheap: Filters<'a>,
    window: Window,
    /// Blocks of the intrinsic maps.
    primary: usize,
    /// Ghosts of each map.
    groups: usize,
}

/// What the module reads of one image.
struct Image<'a> {
    maps: Maps<'a>,
    residual: Option<Residual<'a>>,
}

/// Intrinsic maps of one part.
struct Intrinsic<'a> {
    module: &'a Module<'a>,
    image: Image<'a>,
    part: Part<'a, Block>,
}

impl Work for Intrinsic<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { module, image, mut part } = self;
        let pixels = part.pixels;
        module.layer.tile(s, &image.maps, None, &mut part, 0..pixels);
    }
}

/// Ghosts of one part, whose planes are whole, and its intrinsic maps if they are not there yet.
struct Run<'a> {
    module: &'a Module<'a>,
    image: Image<'a>,
    intrinsic: bool,
    band: &'a mut Band,
    part: Part<'a, Block>,
}

impl Work for Run<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { module, image, intrinsic, band, mut part } = self;
        let Module { layer, cheap, window, primary, groups } = module;
        let [width, height, pixels] = [window.width_out, window.height_out, part.pixels];
        let rows = if intrinsic { (ROOM / (part.planes * width)).max(1) } else { height };
        let (mut made, mut done) = (0, 0);
        while done < height {
            let end = height.min(done + rows);
            if intrinsic {
                let needed = height.min(end + window.pad[0]);
                layer.tile(s, &image.maps, None, &mut part, made * width..needed * width);
                made = needed;
            }
            for group in 0..*groups {
                for b in 0..part.planes {
                    let block = group * primary + part.plane + b;
                    let [map, ghost] = part.pair(1 + group, b);
                    let plane = cheap.plane(window, block, map);
                    plane.rows(s, band, done..end, &mut ghost[done * width..end * width]);
                }
            }
            done = end;
        }
        // Last, since ghosts are made of the maps before it.
        if let Some(residual) = image.residual {
            for group in 0..=*groups {
                for b in 0..part.planes {
                    let block = group * primary + part.plane + b;
                    add_to(s, part.plane(group, b), residual.range(block * pixels, pixels));
                }
            }
        }
    }
}

/// Sums of a few planes over a region.
struct Sums<'a> {
    maps: &'a [Block],
    size: [usize; 2],
    region: [std::ops::Range<usize>; 2],
    part: Part<'a, Block>,
}

impl Work for Sums<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { maps, size: [height, width], region: [rows, columns], mut part } = self;
        for b in 0..part.planes {
            let map = &maps[(part.plane + b) * height * width..][..height * width];
            part.plane(0, b)[0] = rectangle(s, map, width, rows.clone(), columns.clone());
        }
    }
}
