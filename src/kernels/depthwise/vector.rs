//! `twin.rs` in rows of four pixels.

use super::{
    Params,
    twin::{Filters, Window},
};
use crate::{
    block::{Activate, Block, View, ZERO, add, each, multiply_add},
    parallel::{Part, Split, Team},
    plan::Call,
    simd::{
        Level, Simd, Work,
        band::{BAND, Band, Columns, Map, with_band},
        rows::{Bounds, Whole, filled, quad, quad_mut, rest, total},
    },
};
use std::ops::Range;

pub(crate) fn depthwise(call: Call<'_>) {
    let params: Params = call.params();
    let window =
        Window::new(&call, [params.height_in, params.width_in], [params.height_out, params.width_out], [params.pad_y, params.pad_x]);
    let [blocks_in, blocks_out, tiles] = [params.blocks_in, params.blocks_out, params.tiles].map(|v| v as usize);
    let count = params.workgroups as usize / (blocks_out * tiles);
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    let [weight, bias] = ["weight", "bias"].map(|name| call.read(name));
    let filters = Filters { blocks_in, weight, bias, activation: call.activation("ACTIVATION", bias, blocks_out) };
    let (level, team) = (call.level, call.team);
    let pixels = window.width_out * window.height_out;
    let [run, runs] = ["PIXELS", "WG"].map(|name| call.define(name));
    let input = call.maybe("input");
    let output = call.output;
    match input {
        Some(input) => {
            let split = to.split(count, blocks_out, pixels, 1);
            filters.run_by_vectors(level, team, &window, split, output, |n| from.image(input, n));
        }
        None => output.chunks_mut(to.stride).take(count).for_each(|image| {
            // Two channel ranges of one image, the input's below or above the output's.
            let split = View { offset: 0, ..to }.split(1, blocks_out, pixels, 1);
            if from.offset < to.offset {
                let (low, high) = image.split_at_mut(to.offset);
                filters.run_by_vectors(level, team, &window, split, high, |_| &low[from.offset..]);
            } else {
                let (low, high) = image.split_at_mut(from.offset);
                filters.run_by_vectors(level, team, &window, split, &mut low[to.offset..], |_| high);
            }
        }),
    }
    let Some(sums) = call.sums else { return };
    // A tile is WG runs of PIXELS pixels.
    let runs_in_row = window.width_out.div_ceil(run);
    let output = &*output;
    View { offset: 0, stride: blocks_out }.split(count * tiles, blocks_out, 1, 4).each(team, sums, |mut part| {
        let image = to.image(output, part.image / tiles);
        let first = part.image % tiles * runs;
        let last = (first + runs).min(runs_in_row * window.height_out);
        for b in 0..part.planes {
            let map = &image[(part.plane + b) * pixels..][..pixels];
            let mut sum = ZERO;
            for at in first..last {
                let (y, x) = (at / runs_in_row, at % runs_in_row * run);
                let row = &map[y * window.width_out..][..window.width_out];
                sum = row[x..row.len().min(x + run)].iter().fold(sum, |sum, &v| add(sum, v));
            }
            part.plane(0, b)[0] = sum;
        }
    });
}

impl Filters<'_> {
    /// The whole convolution of a buffer's images; `input` gives each image's input.
    pub(crate) fn run_by_vectors<'i>(
        &self,
        level: Level,
        team: Team,
        window: &Window,
        split: Split,
        output: &mut [Block],
        input: impl Fn(usize) -> &'i [Block] + Sync,
    ) {
        let pixels_in = window.width_in * window.height_in;
        split.shared_by(team, window.width_out).each(team, output, |part| {
            let plane = self.plane(window, part.plane, &input(part.image)[part.plane % self.blocks_in * pixels_in..][..pixels_in]);
            with_band(|band| level.run(Run { plane, band, part }));
        });
    }

    /// The filter of an output block, over its map.
    pub(crate) fn plane<'p>(&'p self, window: &'p Window, block: usize, input: &'p [Block]) -> Plane<'p> {
        let taps = window.kernel[0] * window.kernel[1];
        let weight = &self.weight[block * taps..][..taps];
        Plane { window, input, weight, bias: self.bias[block], activation: self.activation, block }
    }
}

impl Window {
    /// The filter's way over the map.
    pub(crate) fn map(&self) -> Map {
        Map { size: [self.height_in, self.width_in], stride: self.stride, pad: self.pad }
    }
}

/// One part's work.
struct Run<'a> {
    plane: Plane<'a>,
    band: &'a mut Band,
    part: Part<'a, Block>,
}

impl Work for Run<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { plane, band, mut part } = self;
        let width = plane.window.width_out;
        let rows = part.first / width..(part.first + part.pixels) / width;
        plane.rows(s, band, rows, part.plane(0, 0));
    }
}

/// The filter of one block, and the map it runs over.
pub(crate) struct Plane<'a> {
    window: &'a Window,
    input: &'a [Block],
    weight: &'a [Block],
    bias: Block,
    activation: Activate<'a>,
    block: usize,
}

impl Plane<'_> {
    /// Rows of the output, into `out`.
    #[inline(always)]
    pub(crate) fn rows<S: Simd>(&self, s: S, band: &mut Band, rows: Range<usize>, out: &mut [Block]) {
        let Window { width_out, kernel: [height, width], stride: [stride_y, stride_x], .. } = *self.window;
        let bounds = Bounds::new(self.activation.kind);
        let map = self.window.map();
        for columns in Columns::all(width_out, width - 1, stride_x) {
            let fit = BAND / columns.row;
            if fit < height {
                // No filter of a network that is known here is so large.
                self.pixels(rows.clone(), columns.first..columns.first + columns.count, out);
                continue;
            }
            let most = (fit - height) / stride_y + 1;
            let mut y = rows.start;
            while y < rows.end {
                let count = most.min(rows.end - y);
                columns.lay_out(s, &map, self.input, y * stride_y, (count - 1) * stride_y + height, &mut band.0);
                let out = &mut out[(y - rows.start) * width_out..][..count * width_out];
                let part = Strip { plane: self, columns: &columns, bounds };
                match (self.window.kernel, self.window.stride) {
                    ([3, 3], [1, 1]) => part.filter::<S, 3, 9, 1>(s, &band.0, out),
                    ([3, 3], [2, 2]) => part.filter::<S, 3, 9, 2>(s, &band.0, out),
                    ([5, 5], [1, 1]) => part.filter::<S, 5, 25, 1>(s, &band.0, out),
                    ([5, 5], [2, 2]) => part.filter::<S, 5, 25, 2>(s, &band.0, out),
                    _ => part.any_filter(s, &band.0, out),
                }
                y += count;
            }
        }
        if !bounds.is_all() {
            self.activation.finish(s, out, self.block, None);
        }
    }

    /// Pixels one by one, from the map itself.
    fn pixels(&self, rows: Range<usize>, columns: Range<usize>, out: &mut [Block]) {
        let Window { width_in, height_in, width_out, kernel: [height, width], stride, pad, .. } = *self.window;
        for y in rows.clone() {
            for x in columns.clone() {
                let [top, left] = [y * stride[0], x * stride[1]];
                let mut sum = self.bias;
                for ky in Window::on_map(top, pad[0], height, height_in) {
                    for kx in Window::on_map(left, pad[1], width, width_in) {
                        let v = self.input[(top + ky - pad[0]) * width_in + left + kx - pad[1]];
                        sum = multiply_add(v, self.weight[ky * width + kx], sum);
                    }
                }
                let bounds = Bounds::new(self.activation.kind);
                let sum = if bounds.is_all() { self.activation.of(sum, self.block) } else { sum };
                out[(y - rows.start) * width_out + x] = sum;
            }
        }
    }
}

/// Some columns of a plane, by a band that is laid out.
struct Strip<'a> {
    plane: &'a Plane<'a>,
    columns: &'a Columns,
    bounds: Bounds,
}

impl Strip<'_> {
    /// A band by a filter of known size.
    #[inline(always)]
    fn filter<S: Simd, const K: usize, const TAPS: usize, const STRIDE: usize>(&self, s: S, band: &[Block], out: &mut [Block]) {
        let width = self.plane.window.width_out;
        let rows = out.len() / width;
        let mut at = 0;
        while at < rows {
            let count = S::ROWS.min(rows - at);
            let band = &band[at * STRIDE * self.columns.row..];
            match count {
                1 => s.call(Rows::<K, TAPS, STRIDE, 1> { strip: self, band, at, out }),
                2 if const { S::ROWS >= 2 } => s.call(Rows::<K, TAPS, STRIDE, 2> { strip: self, band, at, out }),
                3 if const { S::ROWS >= 3 } => s.call(Rows::<K, TAPS, STRIDE, 3> { strip: self, band, at, out }),
                4 if const { S::ROWS >= 4 } => s.call(Rows::<K, TAPS, STRIDE, 4> { strip: self, band, at, out }),
                _ => unreachable!("as many rows as the level has"),
            }
            at += count;
        }
    }

    /// A band by any filter.
    #[inline(always)]
    fn any_filter<S: Simd>(&self, s: S, band: &[Block], out: &mut [Block]) {
        let Self { plane, columns, .. } = self;
        let Window { width_out, kernel: [height, width], stride: [stride_y, stride_x], .. } = *plane.window;
        for at in 0..out.len() / width_out {
            for x in (0..columns.quads()).map(|at| columns.quad(at)) {
                let mut sum = s.repeat(&plane.bias);
                for ky in 0..height {
                    let row = &band[(at * stride_y + ky) * columns.row + x..];
                    for kx in 0..width {
                        let v = s.load(quad(row, columns.place(kx, stride_x)));
                        sum = s.mul_add(v, s.repeat(&plane.weight[ky * width + kx]), sum);
                    }
                }
                self.store(s, at * width_out + columns.first + x, sum, out);
            }
        }
    }

    /// Stores four pixels, or as many as a narrow map has.
    #[inline(always)]
    fn store<S: Simd>(&self, s: S, at: usize, sum: S::Row, out: &mut [Block]) {
        let row = self.bounds.of(s, sum);
        if self.columns.count >= 4 {
            s.store(row, quad_mut(out, at));
        } else {
            // A copy of a slice would be a call, around which all registers go to memory.
            let blocks = s.blocks(row);
            each!(p < 3, {
                if p < self.columns.count {
                    out[at + p] = blocks[p];
                }
            });
        }
    }
}

/// `R` rows of a band by a filter of known size, from row `at` of what is made of it.
struct Rows<'a, const K: usize, const TAPS: usize, const STRIDE: usize, const R: usize> {
    strip: &'a Strip<'a>,
    band: &'a [Block],
    at: usize,
    out: &'a mut [Block],
}

impl<const K: usize, const TAPS: usize, const STRIDE: usize, const R: usize> Work for Rows<'_, K, TAPS, STRIDE, R> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { strip, band, at, out } = self;
        let Strip { plane, columns, .. } = strip;
        let width = plane.window.width_out;
        let bias = s.repeat(&plane.bias);
        let mut weight = s.zeros::<TAPS>();
        each!(ky < K, each!(kx < K, weight[ky * K + kx] = s.repeat(&plane.weight[ky * K + kx])));
        for number in 0..columns.quads() {
            let x = columns.quad(number);
            let mut sums = filled::<S, Whole, R>(s, bias);
            // Each input is loaded once for all rows.
            each!(pixel r < (R - 1) * STRIDE + K, {
                let row = rest(band, r * columns.row + x);
                each!(kx < K, {
                    let v = s.load(quad(row, columns.place(kx, STRIDE)));
                    each!(j < R, {
                        let ky = usize::wrapping_sub(r, j * STRIDE);
                        if ky < K {
                            sums[j] = s.mul_add(v, weight[ky * K + kx], sums[j]);
                        }
                    });
                });
            });
            each!(j < R, strip.store(s, (at + j) * width + columns.first + x, sums[j], out));
        }
    }
}

/// The sum of each block's rectangle of a map.
#[inline(always)]
pub(crate) fn rectangle<S: Simd>(s: S, map: &[Block], width: usize, rows: Range<usize>, columns: Range<usize>) -> Block {
    rows.fold(ZERO, |sum, y| add(sum, total(s, &map[y * width..][columns.clone()])))
}
