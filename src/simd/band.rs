//! Rows of a map as filters want them: with the padding around it, and columns that are a stride
//! apart side by side. Each tap of neighbouring pixels is then a run of blocks, wherever on the map
//! they are.

use super::{
    Simd,
    rows::{copy, quad, quad_mut},
};
use crate::block::{Block, ZERO};
use std::cell::RefCell;

/// Blocks of a band: with what is made of them it stays in the first cache.
pub(crate) const BAND: usize = 1280;

/// Columns of the output that are made of a band, at most.
const COLUMNS: usize = 128;

/// Room for a band, from the start of a cache line on.
#[repr(align(64))]
pub(crate) struct Band(pub [Block; BAND]);

/// Calls `work` with this thread's room for a band.
pub(crate) fn with_band<T>(work: impl FnOnce(&mut Band) -> T) -> T {
    thread_local! {
        static ROOM: RefCell<Band> = const { RefCell::new(Band([ZERO; BAND])) };
    }
    ROOM.with_borrow_mut(work)
}

/// A filter's way over a map; pairs are (rows, columns).
#[derive(Clone, Copy)]
pub(crate) struct Map {
    pub size: [usize; 2],
    pub stride: [usize; 2],
    pub pad: [usize; 2],
}

/// Where columns of a band lie.
#[derive(Clone, Copy)]
pub(crate) struct Columns {
    /// The first of the output, and how many.
    pub first: usize,
    pub count: usize,
    /// Columns that are a stride apart lie side by side, so many of them.
    pub pitch: usize,
    /// Blocks of a row.
    pub row: usize,
}

impl Columns {
    /// How the output's columns are shared by bands, by filters that reach `reach` columns to the
    /// right.
    #[inline(always)]
    pub(crate) fn all(width: usize, reach: usize, stride: usize) -> impl Iterator<Item = Self> {
        let parts = width.div_ceil(COLUMNS);
        (0..parts).map(move |part| {
            let (first, end) = (width * part / parts, width * (part + 1) / parts);
            // Four pixels at least are computed, if fewer are stored.
            let pitch = ((end - first).max(4) + reach / stride).next_multiple_of(4);
            Self { first, count: end - first, pitch, row: pitch * stride }
        })
    }

    /// Where a band has what is `x` columns to the right of an output's first.
    #[inline(always)]
    pub(crate) fn place(&self, x: usize, stride: usize) -> usize {
        x % stride * self.pitch + x / stride
    }

    /// How often four columns of the output are made.
    #[inline(always)]
    pub(crate) fn quads(&self) -> usize {
        self.count.div_ceil(4)
    }

    /// The first of four columns. The last four overlap others rather than to be fewer.
    #[inline(always)]
    pub(crate) fn quad(&self, number: usize) -> usize {
        (number * 4).min(self.count.saturating_sub(4))
    }

    /// Fills a band with `count` rows of the padded map from row `top` on.
    #[inline(always)]
    pub(crate) fn lay_out<S: Simd>(&self, s: S, map: &Map, input: &[Block], top: usize, count: usize, band: &mut [Block]) {
        let Map { size: [height, width], stride: [_, stride], pad } = *map;
        for (y, row) in (top..top + count).zip(band.chunks_exact_mut(self.row)) {
            if y < pad[0] || y - pad[0] >= height {
                row.fill(ZERO);
                continue;
            }
            let input = &input[(y - pad[0]) * width..][..width];
            let left = self.first * stride;
            match stride {
                1 => {
                    let (from, inside) = on_map(s, row, left, 1, pad[1], width);
                    copy(s, &input[from..][..inside.len()], inside);
                }
                2 => {
                    let (even, odd) = row.split_at_mut(self.pitch);
                    let (even_from, even) = on_map(s, even, left, 2, pad[1], width);
                    let (odd_from, odd) = on_map(s, odd, left + 1, 2, pad[1], width);
                    let quads = even.len().min(odd.len()) / 4;
                    let from = even_from.min(odd_from);
                    let (first, second) = if even_from <= odd_from { (even, odd) } else { (odd, even) };
                    for at in 0..quads {
                        let (low, high) = (quad(input, from + 8 * at), quad(input, from + 8 * at + 4));
                        let [even, odd] = s.parted(s.load(low), s.load(high));
                        s.store(even, quad_mut(first, 4 * at));
                        s.store(odd, quad_mut(second, 4 * at));
                    }
                    spread(&input[(from + quads * 8).min(width)..], 2, &mut first[quads * 4..]);
                    spread(&input[(from + quads * 8 + 1).min(width)..], 2, &mut second[quads * 4..]);
                }
                _ => {
                    for (phase, places) in row.chunks_exact_mut(self.pitch).enumerate() {
                        let (from, inside) = on_map(s, places, left + phase, stride, pad[1], width);
                        spread(&input[from..], stride, inside);
                    }
                }
            }
        }
    }
}

/// Of places for every `stride`th column of the padded map from `column` on: those on the map, and
/// the map's column at the first of them. The others become zero.
#[inline(always)]
fn on_map<S: Simd>(s: S, places: &mut [Block], column: usize, stride: usize, pad: usize, width: usize) -> (usize, &mut [Block]) {
    let before = pad.saturating_sub(column).div_ceil(stride).min(places.len());
    let from = (column + before * stride).saturating_sub(pad).min(width);
    let inside = (width - from).div_ceil(stride).min(places.len() - before);
    let last = places.len() - 4;
    if before <= 4 && before + inside >= last {
        // What is inside is written later.
        s.store(s.splat(0.0), quad_mut(places, 0));
        s.store(s.splat(0.0), quad_mut(places, last));
    } else {
        places[..before].fill(ZERO);
        places[before + inside..].fill(ZERO);
    }
    (from, &mut places[before..][..inside])
}

/// Every `stride`th block.
#[inline(always)]
fn spread(from: &[Block], stride: usize, to: &mut [Block]) {
    for at in 0..to.len().min(from.len().div_ceil(stride)) {
        to[at] = from[at * stride];
    }
}
