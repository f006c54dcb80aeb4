//! `twin.rs` with whole maps in rows of four pixels, and windows tap by tap over rows of pixels.

use super::Params;
use crate::{
    block::{Block, View, ZERO, add, scale},
    kernels::depthwise::twin::Window,
    parallel::Part,
    plan::Call,
    simd::{Simd, Work, rows::total},
};

pub(crate) fn pool(call: Call<'_>) {
    let params: Params = call.params();
    let [window, sums] = ["WINDOW", "SUMS"].map(|name| call.define(name) != 0);
    let input = call.read("input");
    let [width_in, height_in, width_out, height_out] =
        [params.width_in, params.height_in, params.width_out, params.height_out].map(|v| v as usize);
    let blocks = params.blocks as usize;
    let (pixels_in, pixels_out) = (width_in * height_in, width_out * height_out);
    let count = params.outputs as usize / (blocks * pixels_out);
    let from = View::new(params.input_offset, params.input_stride);
    let to = if sums { View { offset: 0, stride: blocks } } else { View::new(params.output_offset, params.output_stride) };
    let (level, team) = (call.level, call.team);
    let split = to.split(count, blocks, pixels_out, 1);
    if window {
        split.shared_by(team, width_out).each(team, call.output, |mut part| {
            let map = &from.image(input, part.image)[part.plane * pixels_in..][..pixels_in];
            let first = part.first / width_out;
            for (y, row) in part.plane(0, 0).chunks_exact_mut(width_out).enumerate() {
                pool_row(&params, map, first + y, row);
            }
        });
    } else {
        let factor = if sums { 1.0 } else { 1.0 / pixels_in as f32 };
        split.each(team, call.output, |part| {
            let map = &from.image(input, part.image)[part.plane * pixels_in..][..pixels_in];
            level.run(Run { map, width: width_in, factor, part });
        });
    }
}

/// A row of windows.
fn pool_row(params: &Params, map: &[Block], y: usize, row: &mut [Block]) {
    let [width, height] = [params.width_in, params.height_in].map(|v| v as usize);
    let [kernel_y, kernel_x] = [params.kernel_y, params.kernel_x].map(|v| v as usize);
    let [pad_y, pad_x] = [params.pad_y, params.pad_x].map(|v| v as usize);
    let (top, stride, is_maximum) = (y * params.stride_y as usize, params.stride_x as usize, params.maximum != 0);
    let rows = Window::on_map(top, pad_y, kernel_y, height);
    row.fill(if is_maximum { [f32::MIN; 4] } else { ZERO });
    for ky in rows.clone() {
        let line = &map[(top + ky - pad_y) * width..][..width];
        for kx in 0..kernel_x {
            // The windows of which this tap lies on the map.
            let first = pad_x.saturating_sub(kx).div_ceil(stride);
            let last = (width + pad_x).saturating_sub(kx).div_ceil(stride).min(row.len());
            if first >= last {
                continue;
            }
            let (windows, mut at) = (&mut row[first..last], first * stride + kx - pad_x);
            for out in windows {
                *out = if is_maximum { larger(*out, line[at]) } else { add(*out, line[at]) };
                at += stride;
            }
        }
    }
    if !is_maximum {
        for (x, out) in row.iter_mut().enumerate() {
            let columns = Window::on_map(x * stride, pad_x, kernel_x, width);
            let divisor = if params.count_pad != 0 { kernel_y * kernel_x } else { (rows.len() * columns.len()).max(1) };
            *out = scale(*out, 1.0 / divisor as f32);
        }
    }
}

#[inline(always)]
fn larger(a: Block, b: Block) -> Block {
    let of = |a: f32, b: f32| if b > a { b } else { a };
    [of(a[0], b[0]), of(a[1], b[1]), of(a[2], b[2]), of(a[3], b[3])]
}

/// A whole map's work.
struct Run<'a> {
    map: &'a [Block],
    width: usize,
    factor: f32,
    part: Part<'a, Block>,
}

impl Work for Run<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { map, width, factor, mut part } = self;
        // Row by row, so that rounding errors do not grow with the length of a map.
        let mut sum = [0.0; 4];
        for row in map.chunks_exact(width) {
            sum = crate::block::add(sum, total(s, row));
        }
        part.plane(0, 0)[0] = scale(sum, factor);
    }
}
