//! The twin of `shaders/conv2d.wgsl`.

use super::Params;
use crate::{
    block::{Activate, Block, PIXELS, Residual, Steps, View, ZERO, for_each_run, matrices},
    parallel::*,
    plan::Call,
};

pub(crate) fn conv2d(call: Call<'_>) {
    let params: Params = call.params();
    let (tile, steps) = (call.define("BLOCKS"), call.steps());
    let [input, weight, bias] = ["input", "weight", "bias"].map(|name| call.read(name));
    let [pixels, blocks_out] = [params.pixels_out, params.blocks_out].map(|v| v as usize);
    let activation = call.activation("ACTIVATION", bias, call.bias_len(blocks_out));
    let count = (params.workgroups / (params.tiles_pixel * params.tiles_channel)) as usize;
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    let residual = call.residual(params.residual_offset, params.residual_stride);
    to.images(call.output, count, blocks_out * pixels).enumerate().for_each(|(n, image)| {
        let layer = Layer {
            params: &params,
            activation,
            tile,
            steps,
            input: from.image(input, n),
            residual: residual.map(|residual| residual.image(n)),
            weight,
            bias,
        };
        for_each_run(image, pixels, tile, |block, first, planes| match planes {
            [one] => layer.planes::<1>(block, first, [one]),
            [one, two] => layer.planes::<2>(block, first, [one, two]),
            _ => unreachable!("runs are of one or two blocks"),
        });
    });
}

/// The convolution's constants, and one image.
struct Layer<'a> {
    params: &'a Params,
    activation: Activate<'a>,
    tile: usize,
    steps: Steps,
    input: &'a [Block],
    residual: Option<Residual<'a>>,
    weight: &'a [Block],
    bias: &'a [Block],
}

impl Layer<'_> {
    /// A run of pixels of `B` output blocks.
    fn planes<const B: usize>(&self, block: usize, first: usize, planes: [&mut [Block]; B]) {
        let count = planes[0].len();
        let pixels = self.params.pixels_out as usize;
        let mut write = |p: usize, sums: [Block; B]| {
            for b in 0..B {
                let value = self.activation.of(sums[b], block + b);
                planes[b][p] = self.residual.map_or(value, |residual| residual.to(value, (block + b) * pixels + first + p));
            }
        };
        let whole = count / PIXELS * PIXELS;
        for p in (0..whole).step_by(PIXELS) {
            let sums = self.sums::<PIXELS, B>(block, first + p);
            (0..PIXELS).for_each(|q| write(p + q, sums[q]));
        }
        for p in whole..count {
            let [sums] = self.sums::<1, B>(block, first + p);
            write(p, sums);
        }
    }

    /// `P` neighbouring pixels of `B` output blocks of one tile, before the activation.
    #[inline(always)]
    fn sums<const P: usize, const B: usize>(&self, block: usize, pixel: usize) -> [[Block; B]; P] {
        let Params { width_in, height_in, width_out, kernel_y, kernel_x, stride_y, stride_x, pad_y, pad_x, .. } = *self.params;
        let Params { dilation_y, dilation_x, blocks_window, first_offset, .. } = *self.params;
        let mut sums = [std::array::from_fn(|b| self.bias[block + b]); P];
        let corner: [[u32; 2]; P] = std::array::from_fn(|p| {
            let pixel = (pixel + p) as u32;
            [pixel / width_out * stride_y, pixel % width_out * stride_x]
        });
        let tile = block / self.tile;
        let first = self.bias[first_offset as usize + tile][0] as usize;
        let pixels_in = (width_in * height_in) as usize;
        let rows = self.tile * 4;
        let taps = (kernel_y * kernel_x) as usize;
        let weight = &self.weight[tile * blocks_window as usize * taps * rows..];
        let mut weight = weight.chunks_exact(rows).map(|tap| &tap[block % self.tile * self.steps.block..]);
        for map in self.input[first * pixels_in..].chunks_exact(pixels_in).take(blocks_window as usize) {
            for ky in 0..kernel_y {
                for kx in 0..kernel_x {
                    let x: [Block; P] = std::array::from_fn(|p| {
                        // Left of or above the map the subtraction wraps round and fails the comparison.
                        let y = (corner[p][0] + ky * dilation_y).wrapping_sub(pad_y);
                        let x = (corner[p][1] + kx * dilation_x).wrapping_sub(pad_x);
                        if y < height_in && x < width_in { map[(y * width_in + x) as usize] } else { ZERO }
                    });
                    matrices(&mut sums, x, weight.next().expect("weights for each tap"), self.steps);
                }
            }
        }
        sums
    }
}
