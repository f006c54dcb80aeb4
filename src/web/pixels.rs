//! JavaScript's arrays, and pictures in them.

use crate::{Error, Result, cpu, kernels::resize::Rows};
use bytemuck::Zeroable;
use js_sys::Uint8Array;
use std::ops::Range;

/// A copy of an array of `length` values, which may be larger than this module's memory has room
/// for.
pub(super) fn copied<T: Zeroable + Clone>(what: &str, length: u32, copy: impl FnOnce(&mut [T])) -> Result<Vec<T>> {
    let mut values = cpu::zeroed(what, length as usize)?;
    copy(&mut values);
    Ok(values)
}

/// An image of RGBA bytes, which stay where they are.
pub(super) struct Rgba<'a> {
    pixels: &'a Uint8Array,
    width: usize,
}

impl<'a> Rgba<'a> {
    pub(super) fn new(pixels: &'a Uint8Array, width: u32, height: u32) -> Result<Self> {
        if u64::from(pixels.length()) != u64::from(width) * u64::from(height) * 4 {
            return Err(Error::shape("image", format!("{width} x {height} has not {} bytes", pixels.length())));
        }
        Ok(Self { pixels, width: width as usize })
    }
}

impl Rows for Rgba<'_> {
    fn row<'a>(&'a self, y: usize, x: Range<usize>, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        self.texels(y, x.clone(), scratch);
        // In place: what is written is never ahead of what is read.
        for at in 0..x.len() {
            for channel in 0..3 {
                scratch[at * 3 + channel] = scratch[at * 4 + channel];
            }
        }
        &scratch[..x.len() * 3]
    }

    fn texels<'a>(&'a self, y: usize, x: Range<usize>, scratch: &'a mut Vec<u8>) -> (&'a [u8], usize) {
        let [start, end] = [x.start, x.end].map(|x| (y * self.width + x) * 4);
        scratch.resize(end - start, 0);
        self.pixels.subarray(start as u32, end as u32).copy_to(scratch);
        (scratch, 4)
    }
}
