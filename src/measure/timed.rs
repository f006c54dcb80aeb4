//! Steps of a plan, timed by repetition.

use crate::{
    Engine, Error, Result,
    gpu::{
        Prepared, Weights,
        roofline::{MOST_REPEATS, next_repeats},
    },
    median, percentile,
    plan::Plan,
};
use std::{ops::Range, sync::Arc};

/// Steps of a plan on the device, ready to be timed.
pub struct Timed {
    prepared: Prepared,
    steps: Range<usize>,
    repeats: usize,
    /// Milliseconds of each round.
    pub ms: Vec<f64>,
}

impl Timed {
    /// Puts a plan on the device, fills its buffers and finds how many repetitions take `pass_ms`;
    /// the search is the warm-up.
    pub async fn new(engine: &Engine, plan: Plan, pass_ms: f64) -> Result<Self> {
        let context = engine.gpu().ok_or_else(|| Error::NoAdapter("the benches need one".into()))?;
        let steps = 0..plan.steps.len();
        let (mut prepared, _) = Prepared::new(context, Arc::new(plan), &Weights::default()).await?;
        // Zeros would let hardware save power, and so run faster than with values.
        let values = |bytes: &usize| (0..bytes / 4).flat_map(|at| ((at * 7919 % 251) as f32 / 125.0 - 1.0).to_le_bytes()).collect();
        let slots: Vec<Vec<u8>> = prepared.plan().slots.iter().map(values).collect();
        prepared.run_slots(&slots).await?;
        let mut timed = Self { prepared, steps, repeats: 1, ms: Vec::new() };
        loop {
            let ms = timed.pass().await? * timed.repeats as f64;
            if ms >= pass_ms / 2.0 || timed.repeats >= MOST_REPEATS {
                return Ok(timed);
            }
            timed.repeats = next_repeats(timed.repeats, ms, pass_ms);
        }
    }

    async fn pass(&mut self) -> Result<f64> {
        let times = self.prepared.time_steps(self.steps.clone(), self.repeats, 1).await?;
        Ok(times[0])
    }

    /// Measures one more round.
    pub async fn round(&mut self) -> Result<()> {
        let ms = self.pass().await?;
        self.ms.push(ms);
        Ok(())
    }

    pub fn plan(&self) -> &Plan {
        self.prepared.plan()
    }

    pub fn repeats(&self) -> usize {
        self.repeats
    }

    pub fn median(&self) -> f64 {
        median(self.ms.clone())
    }

    pub fn spread(&self) -> [f64; 2] {
        spread(&self.ms)
    }
}

/// Measures `rounds` rounds of each in turn, A B C A B C, so that what disturbs the machine for a
/// while disturbs all.
pub async fn alternate(timed: &mut [Timed], rounds: usize) -> Result<()> {
    for _ in 0..rounds {
        for one in timed.iter_mut() {
            one.round().await?;
        }
    }
    Ok(())
}

/// What a tenth of the rounds stayed below, and what a tenth exceeded.
pub fn spread(ms: &[f64]) -> [f64; 2] {
    [10, 90].map(|p| percentile(ms.to_vec(), p))
}

/// How the GPU's time is measured.
pub fn clock_of(engine: &Engine) -> &'static str {
    match engine.gpu() {
        Some(context) if context.has_timestamps() => "GPU timestamps",
        _ => "wall clock around submission and wait, for there are no GPU timestamps",
    }
}
