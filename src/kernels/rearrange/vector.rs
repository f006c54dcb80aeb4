//! `twin.rs` on the threads of the vectors, a run of the last axis at a time.

use super::{Params, twin::Walk};
use crate::{
    block::{Block, View, ZERO},
    plan::Call,
};

pub(crate) fn rearrange(call: Call<'_>) {
    let params: Params = call.params();
    let [input, table] = ["input", "table"].map(|name| call.read(name));
    let [pixels, blocks] = [params.pixels_out, params.blocks_out].map(|v| v as usize);
    let walk = Walk::new(&params, table);
    let from = View::new(params.input_offset, params.input_stride);
    let to = View::new(params.output_offset, params.output_stride);
    let images = params.outputs as usize / (blocks * pixels);
    if pixels == 1 {
        // A vector: its blocks are as good as pixels.
        return to.split(images, 1, blocks, 1).shared_by(call.team, 1).each(call.team, call.output, |mut part| {
            let (input, first) = (from.image(input, part.image), part.first * 4);
            let out = part.plane(0, 0).as_flattened_mut();
            let there = walk.channels.saturating_sub(first).min(out.len());
            let (out, padding) = out.split_at_mut(there);
            padding.fill(0.0);
            walk.run(input, first, out, 1);
        });
    }
    let split = to.split(images, blocks, pixels, 1);
    split.shared_by(call.team, 1).each(call.team, call.output, |mut part| {
        let (input, channel, first) = (from.image(input, part.image), part.plane * 4, part.first);
        let out = part.plane(0, 0);
        let there = walk.channels.saturating_sub(channel).min(4);
        if there < 4 {
            out.fill(ZERO);
        }
        for lane in 0..there {
            walk.run(input, (channel + lane) * pixels + first, &mut out.as_flattened_mut()[lane..], 4);
        }
    });
}

impl Walk<'_> {
    /// Neighbouring values from the output's value `index` on, which go `step` apart.
    fn run(&self, input: &[Block], index: usize, out: &mut [f32], step: usize) {
        let mut digits = [0; 6];
        let (mut rest, (mut channel, mut pixel)) = (index, self.start);
        for (digit, (len, channels, pixels)) in digits.iter_mut().zip(self.axes).rev() {
            *digit = rest % len;
            rest /= len;
            channel += *digit as isize * channels;
            pixel += *digit as isize * pixels;
        }
        let (len, channels, pixels) = self.axes[5];
        let (mut done, count) = (0, out.len().div_ceil(step));
        while done < count {
            let run = (len - digits[5]).min(count - done);
            let to = out[done * step..].iter_mut().step_by(step).take(run);
            if channels == 0 {
                let from = self.lanes[channel as usize] as usize;
                let map = &input[from / 4 * self.pixels_in..][..self.pixels_in];
                for (at, value) in (0isize..).zip(to) {
                    *value = map[(pixel + at * pixels) as usize][from % 4];
                }
            } else {
                for (at, value) in (0isize..).zip(to) {
                    let from = self.lanes[(channel + at * channels) as usize] as usize;
                    *value = input[from / 4 * self.pixels_in + (pixel + at * pixels) as usize][from % 4];
                }
            }
            done += run;
            // On to the next run: the last axis begins anew, and those before it count.
            channel -= digits[5] as isize * channels;
            pixel -= digits[5] as isize * pixels;
            digits[5] = 0;
            for axis in (0..5).rev() {
                let (len, channels, pixels) = self.axes[axis];
                digits[axis] += 1;
                (channel, pixel) = (channel + channels, pixel + pixels);
                if digits[axis] < len {
                    break;
                }
                (channel, pixel) = (channel - len as isize * channels, pixel - len as isize * pixels);
                digits[axis] = 0;
            }
        }
    }
}
