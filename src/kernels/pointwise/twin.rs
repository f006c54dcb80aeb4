//! The twin of `shaders/pointwise.wgsl`.

use super::Params;
use crate::{
    block::{Activate, Block, PIXELS, Residual, Steps, View, ZERO, add, each, for_each_run, matrices, multiply, scale},
    parallel::*,
    plan::{Call, pack::padded},
};

pub(crate) fn pointwise(call: Call<'_>) {
    let params: Params = call.params();
    let mean = call.define("POOL") != 0;
    let [input, weight, bias] = ["input", "weight", "bias"].map(|name| call.read(name));
    let (gate, residual) = (call.maybe("gate"), call.residual(params.residual_offset, params.residual_stride));
    let [pixels, blocks_in, blocks_out] = [params.pixels, params.blocks_in, params.blocks_out].map(|v| v as usize);
    let tiles = params.tiles_channel * if mean { 1 } else { params.tiles_pixel };
    let count = (params.workgroups / tiles) as usize;
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    let activation = call.activation("ACTIVATION", bias, call.bias_len(blocks_out));
    let blocks = call.maybe("blocks").unwrap_or(&[]).as_flattened();
    let layer = Layer { blocks_in, tile: call.define("BLOCKS"), steps: call.steps(), weight, bias, activation };
    to.images(call.output, count, blocks_out * if mean { 1 } else { pixels }).enumerate().for_each(|(n, image)| {
        let gate = gate.map(|gate| &gate[n * blocks_in..][..blocks_in]);
        let maps = Maps { input: from.image(input, n), blocks, pixels, gate };
        if mean {
            layer.means(&maps, image);
        } else {
            layer.run(&maps, residual.map(|residual| residual.image(n)), image);
        }
    });
}

/// The convolution's constants, packed in tiles of `tile` output blocks.
pub(crate) struct Layer<'a> {
    pub blocks_in: usize,
    pub tile: usize,
    pub steps: Steps,
    pub weight: &'a [Block],
    pub bias: &'a [Block],
    pub activation: Activate<'a>,
}

/// The input maps of one image.
pub(crate) struct Maps<'a> {
    pub input: &'a [Block],
    /// Which block of the input each input block is; empty where they lie side by side.
    pub blocks: &'a [f32],
    pub pixels: usize,
    pub gate: Option<&'a [Block]>,
}

impl Layer<'_> {
    /// The whole convolution of one image.
    pub(crate) fn run(&self, maps: &Maps, residual: Option<Residual>, image: &mut [Block]) {
        for_each_run(image, maps.pixels, self.tile, |block, first, planes| match planes {
            [one] => self.planes::<1>(maps, residual, block, first, [one]),
            [one, two] => self.planes::<2>(maps, residual, block, first, [one, two]),
            _ => unreachable!("runs are of one or two blocks"),
        });
    }

    /// A run of pixels of `B` output blocks.
    fn planes<const B: usize>(&self, maps: &Maps, residual: Option<Residual>, block: usize, first: usize, planes: [&mut [Block]; B]) {
        let count = planes[0].len();
        let mut write = |p: usize, sums: [Block; B]| {
            for b in 0..B {
                let value = self.activation.of(sums[b], block + b);
                planes[b][p] = residual.map_or(value, |residual| residual.to(value, (block + b) * maps.pixels + first + p));
            }
        };
        let whole = count / PIXELS * PIXELS;
        for p in (0..whole).step_by(PIXELS) {
            let sums = self.sums::<PIXELS, B>(maps, block, first + p);
            (0..PIXELS).for_each(|q| write(p + q, sums[q]));
        }
        for p in whole..count {
            let [sums] = self.sums::<1, B>(maps, block, first + p);
            write(p, sums);
        }
    }

    /// Each output block's mean over the map.
    fn means(&self, maps: &Maps, image: &mut [Block]) {
        image.par_iter_mut().enumerate().for_each(|(block, mean)| {
            let whole = maps.pixels / PIXELS * PIXELS;
            let mut total = [ZERO; PIXELS];
            for p in (0..whole).step_by(PIXELS) {
                let sums = self.sums::<PIXELS, 1>(maps, block, p);
                (0..PIXELS).for_each(|q| total[q] = add(total[q], self.activation.of(sums[q][0], block)));
            }
            for p in whole..maps.pixels {
                let [[sum]] = self.sums::<1, 1>(maps, block, p);
                total[0] = add(total[0], self.activation.of(sum, block));
            }
            *mean = scale(total.into_iter().fold(ZERO, add), 1.0 / maps.pixels as f32);
        });
    }

    /// `P` neighbouring pixels of `B` output blocks of one tile, before the activation.
    #[inline(always)]
    fn sums<const P: usize, const B: usize>(&self, maps: &Maps, block: usize, pixel: usize) -> [[Block; B]; P] {
        let mut sums = [[ZERO; B]; P];
        each!(b < B, {
            let bias = self.bias[block + b];
            each!(p < P, sums[p][b] = bias);
        });
        let rows = self.tile * 4;
        let tile = &self.weight[block / self.tile * padded(self.blocks_in) * rows..][..self.blocks_in * rows];
        for (i, weight) in tile.chunks_exact(rows).enumerate() {
            let block_in = maps.blocks.get(i).map_or(i, |&block| block as usize);
            let input = &maps.input[block_in * maps.pixels + pixel..][..P];
            let mut x = [ZERO; P];
            each!(p < P, x[p] = input[p]);
            if let Some(gate) = maps.gate {
                let gate = gate[i];
                each!(p < P, x[p] = multiply(x[p], gate));
            }
            matrices(&mut sums, x, &weight[block % self.tile * self.steps.block..], self.steps);
        }
        sums
    }
}
