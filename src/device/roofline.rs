//! What a device can do at most. It is measured by [`crate::gpu::roofline`] on GPUs and by
//! [`crate::cpu::roofline`] on the CPU.
//!
//! A layer whose every multiply-add and byte cost only that would lie on this roof (Williams,
//! Waterman, Patterson, CACM 2009).

use serde_json::{Value, json};

/// The roof.
#[derive(Debug, Clone, PartialEq)]
pub struct Roofline {
    /// Billions of operations a second, a multiply-add being two.
    pub gflops: f64,
    /// Copying buffers of a few sizes: the largest lies in the device's memory, smaller ones
    /// perhaps in a cache.
    pub copies: Vec<Bandwidth>,
}

/// What a copy showed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bandwidth {
    /// Bytes of both buffers.
    pub bytes: u64,
    /// Billions of bytes a second, read and written.
    pub gb_per_s: f64,
}

impl Roofline {
    /// The bandwidth for a layer that touches `bytes`: of the smallest copy that touched no less,
    /// or of the largest. A smaller copy that was slower than a larger one was bound by its launch.
    pub fn gb_per_s(&self, bytes: u64) -> f64 {
        let fits = |c: &&Bandwidth| c.bytes >= bytes || self.copies.iter().all(|other| other.bytes <= c.bytes);
        self.copies.iter().filter(fits).map(|c| c.gb_per_s).fold(0.0, f64::max)
    }

    /// What the benches' JSON says of it.
    pub fn json(&self) -> Value {
        let copies: Value = self.copies.iter().map(|c| json!({ "bytes": c.bytes, "gb_per_s": c.gb_per_s })).collect();
        json!({ "gflops": self.gflops, "copies": copies })
    }

    /// Milliseconds that `macs` multiply-adds and `bytes` read and written take at least.
    pub fn least_ms(&self, macs: u64, bytes: u64) -> f64 {
        (2.0 * macs as f64 / self.gflops).max(bytes as f64 / self.gb_per_s(bytes)) / 1e6
    }
}

/// Repetitions in one pass at most, for what takes no time at all.
pub(crate) const MOST_REPEATS: usize = 20_000;

/// How often to repeat what took `ms` milliseconds at `repeats` repetitions, to take `pass_ms`. It
/// grows in steps, for the first passes are slow.
pub(crate) fn next_repeats(repeats: usize, ms: f64, pass_ms: f64) -> usize {
    let factor = if ms > 0.0 { (pass_ms / ms).clamp(1.0, 16.0) } else { 16.0 };
    ((repeats as f64 * factor).ceil() as usize).clamp(repeats + 1, MOST_REPEATS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roof_is_that_of_the_memory_that_holds_the_layer() {
        let copies = [(100, 40.0), (1000, 50.0), (10_000, 10.0)].map(|(bytes, gb_per_s)| Bandwidth { bytes, gb_per_s }).into();
        let roof = Roofline { gflops: 100.0, copies };
        assert_eq!([1, 100, 101, 1000, 1001, 20_000].map(|b| roof.gb_per_s(b)), [50.0, 50.0, 50.0, 50.0, 10.0, 10.0]);
        assert_eq!(roof.least_ms(0, 10_000_000), 1.0);
        assert_eq!(roof.least_ms(50_000_000, 100), 1.0);
    }
}
