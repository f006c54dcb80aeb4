//! Constants side by side in memory that the system maps by large pages.
//!
//! A run reads every weight of a network once. By pages of 4 KB they are more than a processor's
//! tables hold, and each page costs a walk through the system's.

use super::buffer::LINE;
use bytes::{Bytes, BytesMut};
use rustix::mm::{Advice, madvise};
use std::ops::Deref;

/// Bytes that are asked for at once, where there are so many: at first a large page, then twice as
/// many each time. Until they are written to, they are addresses alone.
const PIECES: [usize; 2] = [2 << 20, 32 << 20];

/// Where the next constants go.
#[derive(Debug, Default)]
pub struct Slab {
    free: BytesMut,
    /// Bytes of the last piece.
    piece: usize,
}

/// Values in a slab, whose memory stays as long as any of them does.
#[derive(Debug, Clone)]
pub struct Packed(Bytes);

impl Slab {
    /// Keeps values, from the start of a cache line on.
    pub(crate) fn keep(&mut self, values: &[f32]) -> Packed {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let room = bytes.len().next_multiple_of(LINE);
        if self.free.capacity() < room {
            self.piece = (self.piece * 2).clamp(PIECES[0], PIECES[1]);
            let piece = if Vec::<u8>::new().try_reserve_exact(self.piece).is_ok() { self.piece } else { 0 };
            self.free = BytesMut::with_capacity(piece.max(room) + LINE);
            prefer_large_pages(&mut self.free);
            self.pad(self.free.as_ptr().align_offset(LINE));
        }
        self.free.extend_from_slice(bytes);
        let kept = self.free.split().freeze();
        self.pad(room - bytes.len());
        Packed(kept)
    }

    /// Leaves so many bytes out.
    fn pad(&mut self, bytes: usize) {
        self.free.resize(bytes, 0);
        drop(self.free.split());
    }
}

/// Values of their own: tests put others in the place of a plan's.
impl From<Vec<f32>> for Packed {
    fn from(values: Vec<f32>) -> Self {
        Slab::default().keep(&values)
    }
}

impl Deref for Packed {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        bytemuck::cast_slice(&self.0)
    }
}

/// Asks for large pages where there is room for them. A system without them says no.
fn prefer_large_pages(memory: &mut BytesMut) {
    let page = rustix::param::page_size();
    let start = memory.as_mut_ptr();
    let to_page = start.addr() % page;
    // SAFETY: the advice changes no contents, and the pages are those of one allocation.
    let _ = unsafe { madvise(start.wrapping_sub(to_page).cast(), to_page + memory.capacity(), Advice::LinuxHugepage) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What fits a piece lies in it side by side, what does not has one of its own, and all of it
    /// outlives the slab.
    #[test]
    fn values_stay_as_they_were_kept() {
        let mut slab = Slab::default();
        let values = |len: usize| (0..len).map(|at| (at * len) as f32).collect::<Vec<_>>();
        let large = PIECES[1] / 8;
        let lengths = [1, 16, 17, 0, 1000, 2 * large + 5, 3, large, large, large];
        let kept = lengths.map(|len| slab.keep(&values(len)));
        drop(slab);
        for (kept, len) in kept.iter().zip(lengths) {
            assert!(**kept == values(len)[..], "{len} values");
            assert!(len == 0 || kept.as_ptr().addr().is_multiple_of(LINE), "{len} values");
        }
        assert_eq!(kept[1].as_ptr().addr() - kept[0].as_ptr().addr(), LINE);
    }
}
