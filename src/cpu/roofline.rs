//! What the processor can do at most, measured: multiply-adds in registers, and bytes copied from
//! buffer to buffer, with the instructions and threads of a run.

use super::{Options, wanted_level, zeroed};
use crate::{
    Error, Result,
    block::{Block, Buffer, View, each},
    clock,
    device::{Bandwidth, MOST_REPEATS, Roofline, next_repeats},
    parallel::{Split, Team},
    simd::{Simd, Work, rows::with_pixels},
};
use std::{
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Parts of the work for each thread: those that are late leave some to others.
const PARTS: usize = 4;

/// Measures the roof: the best of `rounds` rounds of about `round_ms` milliseconds each.
///
/// # Errors
/// [`Error::Unsupported`] where the plain loops are to run, which have no instructions of their
/// own, and as [`super::Prepared::with`].
pub fn measure(options: &Options, round_ms: f64, rounds: usize) -> Result<Roofline> {
    let level = options.level.map_or_else(wanted_level, Ok)?;
    let team = options.threads.map_or_else(Team::all, Team::of);
    if level.is_plain() {
        return Err(Error::Unsupported { adapter: "CPU".into(), what: "there is no roof for the plain loops".into() });
    }
    let macs = AtomicU64::new(0);
    let parts = PARTS * team.threads();
    team.each(parts, |_| level.run(MultiplyAdds(&macs)));
    let macs_of_run = macs.load(Relaxed);
    let ms = best(round_ms, rounds, || team.each(parts, |_| level.run(MultiplyAdds(&macs))));
    let gflops = 2.0 * macs_of_run as f64 / ms / 1e6;

    let mut copies = Vec::new();
    // The smallest fit into the first cache of a core.
    for bytes in [16 << 10, 256 << 10, 1 << 20, 4 << 20, 32 << 20u64] {
        let len = bytes as usize / size_of::<Block>();
        let buffer = || Ok::<_, Error>(Buffer::new(zeroed("the roof's copies", Buffer::lines(len))?, len));
        let (from, mut to) = (buffer()?, buffer()?);
        let whole = View { offset: 0, stride: len }.split(1, 1, len, 1);
        let split = Split { run: len.div_ceil(parts).next_multiple_of(4), ..whole };
        let ms = best(round_ms, rounds, || {
            split.each(team, &mut to, |mut part| level.run(Copy { from: &from[part.first..][..part.pixels], to: part.plane(0, 0) }));
        });
        copies.push(Bandwidth { bytes: 2 * bytes, gb_per_s: 2.0 * bytes as f64 / ms / 1e6 });
    }
    Ok(Roofline { gflops, copies })
}

/// Milliseconds of `work` at best: what disturbs a measurement only makes it longer.
fn best(round_ms: f64, rounds: usize, mut work: impl FnMut()) -> f64 {
    let mut time = |repeats: usize| {
        let start = clock::now();
        (0..repeats).for_each(|_| work());
        clock::now() - start
    };
    let (mut repeats, mut ms) = (1, time(1));
    while ms < round_ms / 2.0 && repeats < MOST_REPEATS {
        repeats = next_repeats(repeats, ms, round_ms);
        ms = time(repeats);
    }
    (0..rounds).map(|_| time(repeats)).fold(ms, f64::min) / repeats as f64
}

/// Multiply-adds on as many rows as a convolution keeps in registers; adds their number.
struct MultiplyAdds<'a>(&'a AtomicU64);

impl Work for MultiplyAdds<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        const TIMES: usize = 1 << 14;
        // Values stay near 1: a multiply by less, an add of the rest.
        let [less, rest] = [0.999, 0.001].map(|value| s.splat(black_box(value)));
        with_pixels!(S, S::PIXELS, P => {
            let mut sums = s.zeros::<P>();
            for _ in 0..TIMES {
                each!(pixel p < P, sums[p] = s.mul_add(sums[p], less, rest));
            }
            each!(pixel p < P, _ = black_box(s.blocks(sums[p])));
            self.0.fetch_add((TIMES * P * 16) as u64, Relaxed);
        });
    }
}

/// Copies in rows.
struct Copy<'a> {
    from: &'a [Block],
    to: &'a mut [Block],
}

impl Work for Copy<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (from, to) in self.from.as_chunks().0.iter().zip(self.to.as_chunks_mut().0) {
            s.store(s.load(from), to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Level;

    #[test]
    fn every_level_has_a_roof_and_the_plain_loops_have_none() {
        for level in Level::all() {
            let options = Options { level: Some(level), threads: Some(1) };
            match measure(&options, 0.1, 1) {
                Ok(roof) => {
                    assert!(!level.is_plain() && roof.gflops > 0.0 && roof.copies.iter().all(|copy| copy.gb_per_s > 0.0), "{roof:?}");
                }
                Err(error) => assert!(level.is_plain() && matches!(error, Error::Unsupported { .. }), "{error}"),
            }
        }
    }
}
