//! The twin of `shaders/softmax_top_k.wgsl`.

use super::Params;
use crate::{block::View, parallel::*, plan::Call};

pub(crate) fn softmax_top_k(call: Call<'_>) {
    let params: Params = call.params();
    let input = call.read("input");
    // (Class, bits of its probability) pairs.
    let output: &mut [u32] = bytemuck::cast_slice_mut(call.output);
    let [classes, k, count] = [params.classes, params.k, params.workgroups].map(|v| v as usize);
    let from = View::new(params.input_offset, params.input_stride);
    output.par_chunks_mut(k * 2).take(count).enumerate().for_each(|(n, pairs)| {
        best(&from.image(input, n).as_flattened()[..classes], pairs);
    });
}

/// The best classes of an image, each with the bits of its probability.
pub(super) fn best(logits: &[f32], pairs: &mut [u32]) {
    let highest = logits.iter().copied().fold(f32::MIN, f32::max);
    let total: f32 = logits.iter().map(|v| (v - highest).exp()).sum();
    let mut last: Option<(usize, f32)> = None;
    for pair in pairs.chunks_exact_mut(2) {
        // Each round finds the best class after the one found before it; of equals the first in order.
        let after = |&(c, v): &(usize, f32)| last.is_none_or(|(last_c, last_v)| v < last_v || (v == last_v && c > last_c));
        let best = logits.iter().copied().enumerate().filter(after).reduce(|best, one| if one.1 > best.1 { one } else { best });
        // None is left only where logits are NaN.
        let (class, value) = best.unwrap_or((u32::MAX as usize, f32::MIN));
        last = Some((class, value));
        pair.copy_from_slice(&[class as u32, ((value - highest).exp() / total).to_bits()]);
    }
}
