//! `twin.rs` in rows of sixteen output channels.

use super::Params;
use crate::{
    block::{Activate, Block, Residual, View, ZERO, each},
    parallel::Part,
    plan::Call,
    simd::{
        self, Simd, Work,
        band::{BAND, Band, Columns, Map, with_band},
        rows::{TILE, Target, WEIGHTS, Whole, accumulate, chunk, filled, quad, rest, tiles, with_pixels},
    },
};

pub(crate) fn conv2d(call: Call<'_>) {
    if !simd::IS_ALL && !call.dispatch.rows() {
        return super::twin::conv2d(call);
    }
    let params: Params = call.params();
    let [input, weight, bias] = ["input", "weight", "bias"].map(|name| call.read(name));
    let [pixels, blocks_out] = [params.pixels_out, params.blocks_out].map(|v| v as usize);
    let count = (params.workgroups / (params.tiles_pixel * params.tiles_channel)) as usize;
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    let activation = call.activation("ACTIVATION", bias, call.bias_len(blocks_out));
    let depth = call.define("DEPTH");
    let layer = Layer { size: Size::new(&params), activation, weight, bias, depth, first_offset: params.first_offset as usize };
    let residual = call.residual(params.residual_offset, params.residual_stride);
    let (level, team) = (call.level, call.team);
    to.split(count, blocks_out, pixels, TILE).shared_by(team, params.width_out as usize).each(team, call.output, |part| {
        let residual = residual.map(|residual| residual.image(part.image));
        with_band(|band| level.run(Run { layer: &layer, input: from.image(input, part.image), residual, band, part }));
    });
}

/// The convolution's constants, packed as rows of sixteen output lanes.
struct Layer<'a> {
    size: Size,
    activation: Activate<'a>,
    weight: &'a [Block],
    bias: &'a [Block],
    /// Lanes of the input that are in use.
    depth: usize,
    /// Where the bias says which input block a tile starts with.
    first_offset: usize,
}

/// The parameters; pairs are (rows, columns).
struct Size {
    map: Map,
    out: [usize; 2],
    kernel: [usize; 2],
    dilation: [usize; 2],
    /// Input blocks that a tile sums over.
    blocks: usize,
}

impl Size {
    fn new(params: &Params) -> Self {
        let pair = |y: u32, x: u32| [y as usize, x as usize];
        Self {
            map: Map {
                size: pair(params.height_in, params.width_in),
                stride: pair(params.stride_y, params.stride_x),
                pad: pair(params.pad_y, params.pad_x),
            },
            out: pair(params.pixels_out / params.width_out, params.width_out),
            kernel: pair(params.kernel_y, params.kernel_x),
            dilation: pair(params.dilation_y, params.dilation_x),
            blocks: params.blocks_window as usize,
        }
    }

    /// From the first tap to the last.
    fn reach(&self) -> [usize; 2] {
        [0, 1].map(|axis| (self.kernel[axis] - 1) * self.dilation[axis])
    }
}

/// One part's work: whole rows of a tile.
struct Run<'a> {
    layer: &'a Layer<'a>,
    input: &'a [Block],
    residual: Option<Residual<'a>>,
    band: &'a mut Band,
    part: Part<'a, Block>,
}

impl Work for Run<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { layer, input, residual, band, mut part } = self;
        let Size { map, out: [height, width], blocks, .. } = layer.size;
        let ([reach_y, reach_x], [stride_y, stride_x]) = (layer.size.reach(), map.stride);
        let (plane, rows) = (part.plane, part.first / width..(part.first + part.pixels) / width);
        let pixels_in = map.size[0] * map.size[1];
        let input = &input[layer.bias[layer.first_offset + plane / TILE][0] as usize * pixels_in..][..blocks * pixels_in];
        let residual = residual.map(|residual| residual.planes([plane, part.planes], height * width, part.first, part.pixels));
        let mut target = Target::new(part.quad(0..rows.len() * width), residual, layer.activation, plane);
        for columns in Columns::all(width, reach_x, stride_x) {
            let fit = BAND / (columns.row * blocks);
            let most = if fit > reach_y { (fit - reach_y - 1) / stride_y + 1 } else { 1 };
            for y in rows.clone().step_by(most) {
                let count = most.min(rows.end - y);
                let rows_in = (count - 1) * stride_y + reach_y + 1;
                if fit > reach_y {
                    for (input, band) in input.chunks_exact(pixels_in).zip(band.0.chunks_exact_mut(rows_in * columns.row)) {
                        columns.lay_out(s, &map, input, y * stride_y, rows_in, band);
                    }
                }
                for row in 0..count {
                    let all = tiles::<S>(columns.count).flat_map(|t| (0..t.count).map(move |at| (t.first + at * t.pixels, t.pixels)));
                    for (x, count) in all {
                        let at = (y - rows.start + row) * width + columns.first + x;
                        let (target, band) = (&mut target, &band.0);
                        with_pixels!(S, count, P => if fit > reach_y {
                            let band = &band[row * stride_y * columns.row + x..];
                            s.call(Banded::<P> { layer, plane, columns: &columns, band, block: rows_in * columns.row, at, target });
                        } else {
                            s.call(Direct::<P> { layer, plane, input, pixel: [y + row, columns.first + x], at, target });
                        });
                    }
                }
            }
        }
        target.finish(s);
    }
}

/// `P` neighbouring pixels of a row of a tile, by a band that is laid out from their first on.
struct Banded<'a, 't, const P: usize> {
    layer: &'a Layer<'a>,
    plane: usize,
    columns: &'a Columns,
    band: &'a [Block],
    /// From one input block to the next.
    block: usize,
    at: usize,
    target: &'a mut Target<'t>,
}

impl<const P: usize> Work for Banded<'_, '_, P> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { layer, plane, columns, band, block, at, target } = self;
        let Size { map, kernel, dilation, .. } = &layer.size;
        let mut sums = filled::<S, Whole, P>(s, s.load(quad(layer.bias, plane)));
        for (i, weight) in layer.taps(plane).enumerate() {
            for (ky, weight) in weight.chunks_exact(kernel[1]).enumerate() {
                let row = rest(band, i * block + ky * dilation[0] * columns.row);
                for (kx, weight) in weight.iter().enumerate() {
                    let x = chunk::<Block, P>(row, columns.place(kx * dilation[1], map.stride[1]));
                    accumulate::<S, Whole, P>(s, &mut sums, x, weight, None, layer.depth);
                }
            }
        }
        target.store::<S, Whole, P>(s, at, sums);
    }
}

/// The same from the map itself, of which a band does not hold enough.
struct Direct<'a, 't, const P: usize> {
    layer: &'a Layer<'a>,
    plane: usize,
    input: &'a [Block],
    pixel: [usize; 2],
    at: usize,
    target: &'a mut Target<'t>,
}

impl<const P: usize> Work for Direct<'_, '_, P> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { layer, plane, input, pixel, at, target } = self;
        let Size { map: Map { size: [height, width], stride, pad }, kernel, dilation, .. } = layer.size;
        let [top, left] = [0, 1].map(|axis| pixel[axis] * stride[axis]);
        let mut sums = filled::<S, Whole, P>(s, s.load(quad(layer.bias, plane)));
        for (map, weight) in input.chunks_exact(height * width).zip(layer.taps(plane)) {
            for (ky, weight) in weight.chunks_exact(kernel[1]).enumerate() {
                let y = top + ky * dilation[0];
                if y < pad[0] || y - pad[0] >= height {
                    continue;
                }
                let row = &map[(y - pad[0]) * width..][..width];
                for (kx, weight) in weight.iter().enumerate() {
                    // Left of the map the subtraction wraps round, and finds nothing.
                    let column = (left + kx * dilation[1]).wrapping_sub(pad[1]);
                    let mut aside = [ZERO; P];
                    let x: &[Block; P] = match row.get(column..).and_then(|row| row.first_chunk()) {
                        Some(x) if stride[1] == 1 => x,
                        _ => {
                            each!(pixel p < P, aside[p] = *row.get(column.wrapping_add(p * stride[1])).unwrap_or(&ZERO));
                            &aside
                        }
                    };
                    accumulate::<S, Whole, P>(s, &mut sums, x, weight, None, layer.depth);
                }
            }
        }
        target.store::<S, Whole, P>(s, at, sums);
    }
}

impl Layer<'_> {
    /// The weights of each input block of a tile, tap by tap.
    #[inline(always)]
    fn taps(&self, plane: usize) -> impl Iterator<Item = &[[Block; WEIGHTS]]> {
        let Size { kernel, blocks, .. } = self.size;
        let taps = kernel[0] * kernel[1];
        let (weight, _) = self.weight[plane / TILE * blocks * taps * WEIGHTS..][..blocks * taps * WEIGHTS].as_chunks();
        weight.chunks_exact(taps)
    }
}
