//! What the command and the benches print and draw. Not part of the library's interface.

pub mod chart;
pub mod text;

use crate::{Result, Session, Tensor, plan::Step};
use std::{collections::VecDeque, time::Instant};

/// Billions per second.
pub fn rate(count: f64, ms: f64) -> f64 {
    if ms > 0.0 { count / ms / 1e6 } else { 0.0 }
}

/// Milliseconds a run takes where `in_flight` runs are kept under way: from result to result, over `runs` results, each of which `tick` is
/// told of.
pub fn ms_in_flight(session: &mut Session, input: &Tensor, in_flight: usize, runs: usize, mut tick: impl FnMut()) -> Result<f64> {
    let mut pending = VecDeque::new();
    for _ in 0..in_flight {
        pending.push_back(session.submit(input)?);
    }
    let mut start = Instant::now();
    for run in 0..=runs {
        if let Some(oldest) = pending.pop_front() {
            oldest.wait()?;
        }
        match run {
            0 => start = Instant::now(),
            _ => tick(),
        }
        if run < runs {
            pending.push_back(session.submit(input)?);
        }
    }
    Ok(start.elapsed().as_secs_f64() * 1e3 / runs.max(1) as f64)
}

/// A multiply-add counts as two operations.
pub fn gflops(step: &Step, ms: f64) -> f64 {
    rate(2.0 * step.macs as f64, ms)
}

pub fn gb_per_s(step: &Step, ms: f64) -> f64 {
    rate((step.read_bytes + step.write_bytes) as f64, ms)
}
