//! What the command and the benches print, draw and time by the clock. What they time on the device
//! is in [`ghostnet::measure`].

pub mod chart;
pub mod text;

use ghostnet::{AnyTensor, Result, Session};
use std::{collections::VecDeque, time::Instant};

/// Milliseconds a run takes where `in_flight` runs are kept under way: from result to result, over
/// `runs` results, each of which `tick` is told of.
pub fn ms_in_flight(
    session: &mut Session,
    inputs: &[(&str, &AnyTensor)],
    in_flight: usize,
    runs: usize,
    mut tick: impl FnMut(),
) -> Result<f64> {
    let mut pending = VecDeque::new();
    for _ in 0..in_flight {
        pending.push_back(session.submit_named(inputs)?);
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
            pending.push_back(session.submit_named(inputs)?);
        }
    }
    Ok(start.elapsed().as_secs_f64() * 1e3 / runs.max(1) as f64)
}
