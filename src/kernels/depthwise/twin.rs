//! The twin of `shaders/depthwise.wgsl`.

use super::Params;
use crate::{
    block::{Activate, Block, View, ZERO, add, each, multiply_add, rows_of_a_run},
    parallel::*,
    plan::Call,
};

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
    let pixels = window.width_out * window.height_out;
    let len = blocks_out * pixels;
    let [run, runs] = ["PIXELS", "WG"].map(|name| call.define(name));
    let input = call.maybe("input");
    let output = call.output;
    match input {
        Some(input) => to.images(output, count, len).enumerate().for_each(|(n, image)| filters.run(&window, from.image(input, n), image)),
        None => output.par_chunks_mut(to.stride).take(count).for_each(|image| {
            // Two channel ranges of one image, the input's below or above the output's.
            if from.offset < to.offset {
                let (low, high) = image.split_at_mut(to.offset);
                filters.run(&window, &low[from.offset..], &mut high[..len]);
            } else {
                let (low, high) = image.split_at_mut(from.offset);
                filters.run(&window, high, &mut low[to.offset..][..len]);
            }
        }),
    }
    let Some(sums) = call.sums else { return };
    // A tile is WG runs of PIXELS pixels.
    let runs_in_row = window.width_out.div_ceil(run);
    sums.par_chunks_mut(blocks_out).take(count * tiles).enumerate().for_each(|(at, sums)| {
        let image = to.image(output, at / tiles);
        let first = at % tiles * runs;
        let last = (first + runs).min(runs_in_row * window.height_out);
        for (block, sum) in sums.iter_mut().enumerate() {
            let map = &image[block * pixels..][..pixels];
            *sum = (first..last).fold(ZERO, |sum, at| {
                let (y, x) = (at / runs_in_row, at % runs_in_row * run);
                let row = &map[y * window.width_out..][..window.width_out];
                row[x..row.len().min(x + run)].iter().fold(sum, |sum, &v| add(sum, v))
            });
        }
    });
}

/// The filters' constants.
pub(crate) struct Filters<'a> {
    pub blocks_in: usize,
    pub weight: &'a [Block],
    pub bias: &'a [Block],
    pub activation: Activate<'a>,
}

/// Where a filter stands on the input for each output pixel; sizes are (rows, columns).
pub(crate) struct Window {
    pub width_in: usize,
    pub height_in: usize,
    pub width_out: usize,
    pub height_out: usize,
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub pad: [usize; 2],
}

impl Filters<'_> {
    /// The whole convolution of one image.
    pub(crate) fn run(&self, window: &Window, input: &[Block], image: &mut [Block]) {
        let (pixels_in, width) = (window.width_in * window.height_in, window.width_out);
        let taps = window.kernel[0] * window.kernel[1];
        let rows = rows_of_a_run(width);
        image.par_chunks_mut(width * window.height_out).enumerate().for_each(|(block, map)| {
            let filter = Filter {
                window,
                input: &input[block % self.blocks_in * pixels_in..][..pixels_in],
                weight: &self.weight[block * taps..][..taps],
                bias: self.bias[block],
                activation: self.activation,
                block,
            };
            map.par_chunks_mut(width * rows).enumerate().for_each(|(at, some)| {
                for (y, row) in some.chunks_exact_mut(width).enumerate() {
                    // Filters of a known width are unrolled.
                    match window.kernel[1] {
                        1 => filter.row::<1>(at * rows + y, row),
                        3 => filter.row::<3>(at * rows + y, row),
                        5 => filter.row::<5>(at * rows + y, row),
                        _ => filter.pixels(at * rows + y, 0, row),
                    }
                }
            });
        });
    }
}

impl Window {
    /// Of a kernel with the constants KH, KW, STRIDE_Y and STRIDE_X; pairs are (rows, columns).
    pub(crate) fn new(call: &Call<'_>, size_in: [u32; 2], size_out: [u32; 2], pad: [u32; 2]) -> Self {
        let [kernel, stride] = [["KH", "KW"], ["STRIDE_Y", "STRIDE_X"]].map(|names| names.map(|name| call.define(name)));
        let [[height_in, width_in], [height_out, width_out], pad] = [size_in, size_out, pad].map(|pair| pair.map(|v| v as usize));
        Self { width_in, height_in, width_out, height_out, kernel, stride, pad }
    }

    /// The taps from which on, and up to which, a filter of `kernel` taps at `at` is on a map of
    /// `size`.
    pub(crate) fn on_map(at: usize, pad: usize, kernel: usize, size: usize) -> std::ops::Range<usize> {
        let first = pad.saturating_sub(at);
        first..(size + pad).saturating_sub(at).min(kernel).max(first)
    }
}

/// The filter of one block, and the map it runs over.
struct Filter<'a> {
    window: &'a Window,
    input: &'a [Block],
    weight: &'a [Block],
    bias: Block,
    activation: Activate<'a>,
    block: usize,
}

impl Filter<'_> {
    /// A row of pixels, `W` the filter's width: only pixels near the border have to ask where the
    /// map ends.
    fn row<const W: usize>(&self, y: usize, row: &mut [Block]) {
        let Window { width_in, stride: [_, stride], pad: [_, pad], .. } = *self.window;
        let high = (width_in + pad).checked_sub(W).map_or(0, |last| last / stride + 1).min(row.len());
        let low = pad.div_ceil(stride).min(high);
        self.pixels(y, 0, &mut row[..low]);
        let inner = &mut row[low..high];
        inner.fill(self.bias);
        for (input, weight) in self.rows(y) {
            let weight: &[Block; W] = weight.first_chunk().expect("a row of weights");
            for (x, sum) in (low..).zip(&mut *inner) {
                let input: &[Block; W] = input[x * stride - pad..].first_chunk().expect("within the map");
                each!(kx < W, *sum = multiply_add(input[kx], weight[kx], *sum));
            }
        }
        self.activation.all(inner, self.block);
        self.pixels(y, high, &mut row[high..]);
    }

    /// Pixels of a row from `first` on, wherever they are.
    fn pixels(&self, y: usize, first: usize, row: &mut [Block]) {
        let Window { width_in, kernel: [_, width], stride: [_, stride], pad: [_, pad], .. } = *self.window;
        for (x, out) in row.iter_mut().enumerate() {
            let left = (first + x) * stride;
            let taps = Window::on_map(left, pad, width, width_in);
            let mut sum = self.bias;
            for (input, weight) in self.rows(y) {
                sum = taps.clone().fold(sum, |sum, kx| multiply_add(input[left + kx - pad], weight[kx], sum));
            }
            *out = self.activation.of(sum, self.block);
        }
    }

    /// The filter's rows that are on the map for output row `y`, with the input's.
    #[inline(always)]
    fn rows(&self, y: usize) -> impl Iterator<Item = (&[Block], &[Block])> {
        let Window { width_in, height_in, kernel: [height, width], stride: [stride, _], pad: [pad, _], .. } = *self.window;
        let top = y * stride;
        Window::on_map(top, pad, height, height_in)
            .map(move |ky| (&self.input[(top + ky - pad) * width_in..][..width_in], &self.weight[ky * width..][..width]))
    }
}
