//! The twin of `shaders/top_k.wgsl`.

use super::Params;
use crate::{
    block::{Block, View, ZERO},
    parallel::*,
    plan::Call,
};
use std::cmp::Ordering;

pub(crate) fn top_k(call: Call<'_>) {
    let params: Params = call.params();
    let order = Order::new(&call);
    let input = call.read("input");
    let [pixels, k] = [params.pixels, params.k].map(|v| v as usize);
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    to.images(call.output, params.outputs as usize / pixels, k.div_ceil(4) * pixels).enumerate().for_each(|(n, image)| {
        for p in 0..pixels {
            order.first(from.image(input, n), &params, p, |block, values| image[block * pixels + p] = values);
        }
    });
}

/// The order of channels, and what is written of them.
#[derive(Clone, Copy)]
pub(super) struct Order {
    is_smallest: bool,
    is_last: bool,
    places: bool,
}

impl Order {
    pub fn new(call: &Call<'_>) -> Self {
        let [is_smallest, is_last, places] = ["SMALLEST", "LAST", "PLACES"].map(|name| call.define(name) != 0);
        Self { is_smallest, is_last, places }
    }

    /// Which of two channels comes first.
    fn of(self, &(v, a): &(f32, usize), &(w, b): &(f32, usize)) -> Ordering {
        let by_value = v.partial_cmp(&w).unwrap_or_else(|| v.total_cmp(&w));
        let by_value = if self.is_smallest { by_value } else { by_value.reverse() };
        by_value.then(if self.is_last { b.cmp(&a) } else { a.cmp(&b) })
    }

    /// The first channels of pixel `at` of an image's maps, block by block.
    pub fn first(self, input: &[Block], params: &Params, at: usize, mut write: impl FnMut(usize, Block)) {
        let [channels, pixels, k] = [params.channels, params.pixels, params.k].map(|v| v as usize);
        let values = (0..channels).map(|c| (input[c / 4 * pixels + at][c % 4], c));
        let mut last: Option<(f32, usize)> = None;
        for block in 0..k.div_ceil(4) {
            let mut made = ZERO;
            for lane in made.iter_mut().take(k - block * 4) {
                let left = values.clone().filter(|found| last.is_none_or(|last| self.of(&last, found) == Ordering::Less));
                let Some(best) = left.min_by(|a, b| self.of(a, b)) else { break };
                *lane = if self.places { best.1 as f32 } else { best.0 };
                last = Some(best);
            }
            write(block, made);
        }
    }
}
