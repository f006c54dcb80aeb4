//! Steps of a plan, timed by repetition.

use crate::{
    Engine, Result, clock, cpu,
    device::{MOST_REPEATS, Roofline, next_repeats},
    gpu::{self, Weights},
    median, percentile,
    plan::Plan,
};
use std::sync::Arc;

/// Steps of a plan on the device, ready to be timed.
pub struct Timed {
    prepared: Prepared,
    repeats: usize,
    /// Milliseconds of each round.
    pub ms: Vec<f64>,
}

enum Prepared {
    Gpu(Box<gpu::Prepared>),
    Cpu {
        prepared: Box<cpu::Prepared>,
        /// What goes into the slots of [`Plan::overwritten`] before each run.
        inputs: Vec<(usize, Vec<f32>)>,
    },
}

impl Timed {
    /// Puts a plan on the device, fills its buffers and finds how many repetitions take `pass_ms`;
    /// the search is the warm-up.
    pub async fn new(engine: &Engine, plan: Plan, pass_ms: f64) -> Result<Self> {
        // Zeros would let hardware save power, and so run faster than with values.
        let values = |bytes: usize| (0..bytes / 4).map(|at| (at * 7919 % 251) as f32 / 125.0 - 1.0).collect::<Vec<f32>>();
        let slots: Vec<Vec<u8>> = plan.slots.iter().map(|&bytes| bytemuck::cast_slice(&values(bytes)).to_vec()).collect();
        let prepared = match engine.gpu() {
            Some(context) => {
                let (mut prepared, _) = gpu::Prepared::new(context, Arc::new(plan), &Weights::default()).await?;
                prepared.run_slots(&slots).await?;
                Prepared::Gpu(Box::new(prepared))
            }
            None => {
                let inputs = plan.overwritten().into_iter().map(|slot| (slot, values(plan.slots[slot]))).collect();
                let mut prepared = cpu::Prepared::with(Arc::new(plan), &engine.cpu_options())?;
                prepared.run_slots(&slots);
                Prepared::Cpu { prepared: Box::new(prepared), inputs }
            }
        };
        let mut timed = Self { prepared, repeats: 1, ms: Vec::new() };
        loop {
            let ms = timed.pass().await? * timed.repeats as f64;
            if ms >= pass_ms / 2.0 || timed.repeats >= MOST_REPEATS {
                return Ok(timed);
            }
            timed.repeats = next_repeats(timed.repeats, ms, pass_ms);
        }
    }

    async fn pass(&mut self) -> Result<f64> {
        match &mut self.prepared {
            Prepared::Gpu(prepared) => Ok(prepared.time_steps(0..prepared.plan().steps.len(), self.repeats, 1).await?[0]),
            Prepared::Cpu { prepared, inputs } => {
                let mut ms = 0.0;
                for _ in 0..self.repeats {
                    for (slot, values) in inputs.iter() {
                        prepared.slot_mut(*slot)[..values.len()].copy_from_slice(values);
                    }
                    let start = clock::now();
                    prepared.run();
                    ms += clock::now() - start;
                }
                Ok(ms / self.repeats as f64)
            }
        }
    }

    /// Measures one more round.
    pub async fn round(&mut self) -> Result<()> {
        let ms = self.pass().await?;
        self.ms.push(ms);
        Ok(())
    }

    pub fn plan(&self) -> &Plan {
        match &self.prepared {
            Prepared::Gpu(prepared) => prepared.plan(),
            Prepared::Cpu { prepared, .. } => prepared.plan(),
        }
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

/// What the engine's device can do at most.
pub async fn roof(engine: &Engine, pass_ms: f64, rounds: usize) -> Result<Roofline> {
    match engine.gpu() {
        Some(context) => gpu::roofline::measure(context, pass_ms, rounds).await,
        None => cpu::roofline::measure(&engine.cpu_options(), pass_ms, rounds),
    }
}

/// How something is repeated for `pass_ms`.
pub fn repeated(engine: &Engine, pass_ms: f64) -> String {
    let how = if engine.gpu().is_some() { "in one compute pass of" } else { "for" };
    format!("repeated {how} about {pass_ms} ms; warm-up: 1 and more repetitions up to that time")
}

/// How time is measured.
pub fn clock_of(engine: &Engine) -> &'static str {
    match engine.gpu() {
        Some(context) if context.has_timestamps() => "GPU timestamps",
        Some(_) => "wall clock around submission and wait, for there are no GPU timestamps",
        None => "wall clock",
    }
}
