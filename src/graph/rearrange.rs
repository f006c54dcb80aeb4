//! Values of a map in another order.

use super::{Shape, shape::below_largest};
use crate::tensor::count;
use crate::text::Sides;

/// An axis of a rearranged tensor: how far a step along it goes on the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    /// Values along it.
    pub len: usize,
    /// Channels of the input from one to the next.
    pub channels: isize,
    /// Pixels of the input from one to the next, row after row.
    pub pixels: isize,
}

/// Values of each image in another order, or some of them, or some repeatedly: what transposes,
/// reshapes, strided slices and broadcasts make of a map.
///
/// The output `[n, c, h, w]`, row-major, enumerates the axes, the last the fastest. The value at
/// index `i` of the axes is the input's at channel `start.0 + sum of i * channels` and pixel
/// `start.1 + sum of i * pixels`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rearrange {
    /// Channels, rows and columns of the input that it is made for.
    pub of: [usize; 3],
    /// Channel and pixel of the first value.
    pub start: [usize; 2],
    /// At most six.
    pub axes: Vec<Axis>,
    /// Channels, rows and columns of the output: as many values as the axes enumerate.
    pub to: [usize; 3],
}

/// The most axes.
const MOST_AXES: usize = 6;

impl Rearrange {
    /// The input's channel that each output channel is, where whole maps are taken as they are,
    /// none of them twice: a shuffle of channels, or some of them.
    pub(crate) fn channels(&self) -> Option<Vec<u32>> {
        if self.of[1..] != self.to[1..] || self.start[1] != 0 {
            return None;
        }
        let of_pixels = self.axes.iter().rev().take_while(|axis| axis.channels == 0 && axis.pixels != 0).count();
        let (channels, pixels) = self.axes.split_at(self.axes.len() - of_pixels);
        let mut step = 1;
        for axis in pixels.iter().rev() {
            if axis.pixels != step {
                return None;
            }
            step *= axis.len as isize;
        }
        if step != (self.of[1] * self.of[2]) as isize || channels.iter().any(|axis| axis.pixels != 0) {
            return None;
        }
        let mut all = vec![self.start[0] as isize];
        for axis in channels {
            all = all.iter().flat_map(|&first| (0..axis.len as isize).map(move |at| first + at * axis.channels)).collect();
        }
        let mut taken = vec![false; self.of[0]];
        all.into_iter().map(|channel| (!std::mem::replace(&mut taken[channel as usize], true)).then_some(channel as u32)).collect()
    }

    /// What is wrong with it for an input of `channels` channels.
    pub(super) fn check(&self, channels: usize) -> Result<(), String> {
        let [c, h, w] = self.of;
        if c != channels {
            return Err(format!("is made for {c} channels, the input has {channels}"));
        }
        if self.axes.len() > MOST_AXES {
            return Err(format!("{} axes, at most {MOST_AXES} are possible", self.axes.len()));
        }
        below_largest("a side of", [h, w])?;
        below_largest("a side of", [self.to[1], self.to[2]])?;
        let lengths: Vec<usize> = self.axes.iter().map(|axis| axis.len).collect();
        let wanted = count(&self.to).filter(|count| *count > 0 && *count <= u32::MAX as usize);
        if wanted.is_none() || wanted != count(&lengths) {
            return Err(format!("its axes do not enumerate {} values", Sides(&self.to)));
        }
        // The least and the most that indices come to.
        for (what, start, most, step) in [
            ("channels", self.start[0], c, (|axis| axis.channels) as fn(&Axis) -> isize),
            ("pixels", self.start[1], h.saturating_mul(w), |axis| axis.pixels),
        ] {
            let (mut low, mut high) = (start as i128, start as i128);
            for axis in &self.axes {
                let far = step(axis) as i128 * (axis.len as i128 - 1);
                (low, high) = (low + far.min(0), high + far.max(0));
            }
            if low < 0 || high >= most as i128 {
                return Err(format!("reads {what} {low} to {high} of {most}"));
            }
        }
        Ok(())
    }

    /// Rows and columns of the output.
    pub(super) fn size(&self, input: Shape) -> Result<[usize; 2], String> {
        let [_, h, w] = self.of;
        if [input.h, input.w] != [h, w] {
            return Err(format!("is made for maps of {h} x {w}, the input's are {} x {}", input.h, input.w));
        }
        Ok([self.to[1], self.to[2]])
    }

    /// Channel and pixel of the input that the output's value `index` of an image is.
    #[cfg(test)]
    pub(crate) fn source(&self, index: usize) -> [usize; 2] {
        let mut rest = index;
        let [mut channel, mut pixel] = self.start.map(|start| start as isize);
        for axis in self.axes.iter().rev() {
            let at = (rest % axis.len) as isize;
            rest /= axis.len;
            channel += at * axis.channels;
            pixel += at * axis.pixels;
        }
        [channel as usize, pixel as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffles_and_choices_of_channels_are_told_apart_from_other_orders() {
        let axis = |len, channels, pixels| Axis { len, channels, pixels };
        let of = |start: [usize; 2], axes: &[Axis], to: [usize; 3]| Rearrange { of: [6, 2, 3], start, axes: axes.to_vec(), to }.channels();
        let pixels = axis(6, 0, 1);
        assert_eq!(of([0, 0], &[axis(3, 1, 0), axis(2, 3, 0), pixels], [6, 2, 3]), Some(vec![0, 3, 1, 4, 2, 5]));
        assert_eq!(of([5, 0], &[axis(3, -2, 0), axis(2, 0, 3), axis(3, 0, 1)], [3, 2, 3]), Some(vec![5, 3, 1]));
        assert_eq!(of([4, 0], &[pixels], [1, 2, 3]), Some(vec![4]));
        // A channel twice, columns in front of rows, pixels in front of channels, some pixels.
        assert_eq!(of([0, 0], &[axis(2, 0, 0), axis(3, 1, 0), pixels], [6, 2, 3]), None);
        assert_eq!(of([0, 0], &[axis(6, 1, 0), axis(3, 0, 1), axis(2, 0, 3)], [6, 2, 3]), None);
        assert_eq!(of([0, 0], &[pixels, axis(6, 1, 0)], [6, 2, 3]), None);
        assert_eq!(of([0, 1], &[axis(6, 1, 0), axis(5, 0, 1)], [5, 2, 3]), None);
        let one = Rearrange { of: [4, 1, 1], start: [0, 0], axes: vec![axis(2, 1, 0), axis(2, 2, 0)], to: [4, 1, 1] };
        assert_eq!(one.channels(), Some(vec![0, 2, 1, 3]));
    }
}
