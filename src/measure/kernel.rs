//! A kernel alone: time of its dispatch, and how close it comes to what the device can do.

use super::{Timed, clock_of, document, gb_per_s, gflops, repeated, roof};
use crate::{
    Engine, Error, Result,
    device::Roofline,
    kernels::case::Case,
    plan::{Form, PlanOptions, Step},
};
use serde_json::{Value, json};

/// Milliseconds of a pass, rounds.
const FULL: (f64, usize) = (30.0, 51);
const QUICK: (f64, usize) = (5.0, 7);

/// What was found.
pub struct Measured {
    /// The launch.
    pub step: Step,
    /// Milliseconds of one dispatch: the median.
    pub ms: f64,
    /// What a tenth of the rounds stayed below, and what a tenth exceeded.
    pub spread: [f64; 2],
    /// Dispatches of a pass.
    pub repeats: usize,
    /// The least time by multiply-adds or bytes, as part of the time.
    pub of_roof: f64,
    /// What the device can do.
    pub roof: Roofline,
    /// What was measured and how.
    pub method: String,
}

/// How a case is made that `engine` is to measure.
pub fn options(engine: &Engine) -> PlanOptions {
    PlanOptions { form: Form::Tensors, precision: engine.precision(), choice: engine.choice(), normalise: [[0.0; 3], [1.0; 3]] }
}

/// Measures the launch of a case.
///
/// # Errors
/// [`Error::Model`] for a case of several launches, [`Error::Unsupported`] where the CPU is to run
/// its plain loops, and the device's.
pub async fn measure(engine: &Engine, case: &Case, quick: bool) -> Result<Measured> {
    let [step] = &case.plan.steps[..] else {
        return Err(Error::Model(format!("{}: {} launches, one can be measured", case.name, case.plan.steps.len())));
    };
    let (pass_ms, rounds) = if quick { QUICK } else { FULL };
    let mut timed = Timed::new(engine, case.plan.clone(), pass_ms).await?;
    for _ in 0..rounds {
        timed.round().await?;
    }
    // After the kernel, whose first passes would else be those of a device at rest.
    let roof = roof(engine, pass_ms, rounds).await?;
    let ms = timed.median();
    let method = format!("the dispatch {}; then {rounds} rounds; {}; caches are warm", repeated(engine, pass_ms), clock_of(engine));
    let of_roof = roof.least_ms(step.macs, step.read_bytes + step.write_bytes) / ms;
    Ok(Measured { step: step.clone(), ms, spread: timed.spread(), repeats: timed.repeats(), of_roof, roof, method })
}

impl Measured {
    /// What the JSON holds beside its row.
    pub fn more(&self) -> Value {
        json!({ "roofline": self.roof.json() })
    }

    /// All of it; `name` is the case's.
    pub fn document(&self, engine: &Engine, name: String, quick: bool) -> Value {
        document("kernel", engine.adapter(), &self.method, quick, self.more(), vec![(name, self.ms, self.json())])
    }

    /// What its row holds beside name and milliseconds.
    pub fn json(&self) -> Value {
        let Self { step, ms, spread: [p10, p90], .. } = self;
        json!({
            "kernel": step.dispatch.key.kernel.name(), "shader": step.dispatch.key.file_name(), "workgroups": step.dispatch.workgroups,
            "p10_ms": p10, "p90_ms": p90, "repeats": self.repeats, "macs": step.macs, "bytes": step.read_bytes + step.write_bytes,
            "gflops": gflops(step.macs, *ms), "gb_per_s": gb_per_s(step.read_bytes + step.write_bytes, *ms), "of_roof": self.of_roof,
        })
    }
}
