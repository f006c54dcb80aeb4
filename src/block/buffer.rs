//! Blocks that start with a cache line.

use super::Block;
use bytemuck::{Pod, Zeroable};
use std::ops::{Deref, DerefMut};

/// Bytes of a cache line.
#[cfg(target_os = "linux")]
pub(crate) const LINE: usize = size_of::<Line>();

/// Four blocks: a cache line of most processors. A row of vectors that straddles two lines costs
/// twice as much.
#[repr(C, align(64))]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(crate) struct Line([Block; 4]);

/// Blocks from the start of a line on.
#[derive(Default)]
pub(crate) struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

impl Buffer {
    /// Lines that hold so many blocks.
    pub(crate) fn lines(len: usize) -> usize {
        len.div_ceil(4)
    }

    /// The first `len` blocks of these lines.
    pub(crate) fn new(lines: Vec<Line>, len: usize) -> Self {
        Self { lines, len }
    }
}

impl Deref for Buffer {
    type Target = [Block];

    fn deref(&self) -> &[Block] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [Block] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}
