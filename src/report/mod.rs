//! What the command and the benches print and draw. Not part of the library's interface.

pub mod chart;
pub mod text;

use crate::plan::Step;

/// Billions per second.
pub fn rate(count: f64, ms: f64) -> f64 {
    if ms > 0.0 { count / ms / 1e6 } else { 0.0 }
}

/// A multiply-add counts as two operations.
pub fn gflops(step: &Step, ms: f64) -> f64 {
    rate(2.0 * step.macs as f64, ms)
}

pub fn gb_per_s(step: &Step, ms: f64) -> f64 {
    rate((step.read_bytes + step.write_bytes) as f64, ms)
}
