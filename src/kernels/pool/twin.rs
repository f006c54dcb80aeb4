//! The twin of `shaders/pool.wgsl`.

use super::Params;
use crate::{
    block::{Block, View, ZERO, add, scale, total},
    kernels::depthwise::twin::Window,
    parallel::*,
    plan::Call,
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
    to.images(call.output, count, blocks * pixels_out).enumerate().for_each(|(n, image)| {
        let input = from.image(input, n);
        image.par_chunks_mut(pixels_out).enumerate().for_each(|(block, out)| {
            let map = &input[block * pixels_in..][..pixels_in];
            if window {
                for (y, row) in out.chunks_exact_mut(width_out).enumerate() {
                    pool_row(&params, map, y, row);
                }
            } else if sums {
                out[0] = total(map);
            } else {
                out[0] = scale(total(map), 1.0 / pixels_in as f32);
            }
        });
    });
}

fn pool_row(params: &Params, map: &[Block], y: usize, row: &mut [Block]) {
    let [width, height] = [params.width_in, params.height_in].map(|v| v as usize);
    let [kernel_y, kernel_x] = [params.kernel_y, params.kernel_x].map(|v| v as usize);
    let [pad_y, pad_x] = [params.pad_y, params.pad_x].map(|v| v as usize);
    let top = y * params.stride_y as usize;
    let rows = Window::on_map(top, pad_y, kernel_y, height);
    for (x, out) in row.iter_mut().enumerate() {
        let left = x * params.stride_x as usize;
        let columns = Window::on_map(left, pad_x, kernel_x, width);
        let mut best = [f32::MIN; 4];
        let mut sum = ZERO;
        for ky in rows.clone() {
            for kx in columns.clone() {
                let v = map[(top + ky - pad_y) * width + left + kx - pad_x];
                best = std::array::from_fn(|l| if v[l] > best[l] { v[l] } else { best[l] });
                sum = add(sum, v);
            }
        }
        let divisor = if params.count_pad != 0 { kernel_y * kernel_x } else { (rows.len() * columns.len()).max(1) };
        *out = if params.maximum != 0 { best } else { scale(sum, 1.0 / divisor as f32) };
    }
}
