//! Runs in two stages: what the second takes is made of what the first gives.

use super::{Plan, Resource, Step};
use std::ops::Range;

/// A part of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The inputs that it takes, by their places in the plan.
    pub inputs: Vec<usize>,
    /// The steps that it runs.
    pub steps: Range<usize>,
    /// The results that it gives, by their places in the plan.
    pub outputs: Vec<usize>,
}

impl Plan {
    /// Two stages, of which the second begins with the first step that reads the input `late`, and
    /// the first gives the results `early`. What lies in slots between them stays there. The error
    /// says why there are none.
    pub(crate) fn stages(&self, late: &str, early: &[&str]) -> Result<[Stage; 2], String> {
        let input = self.inputs.iter().position(|input| input.name == late).ok_or_else(|| format!("no input is called `{late}`"))?;
        let slot = Resource::Slot(self.inputs[input].slot);
        let writes =
            |step: &Step, slot: Resource| step.dispatch.key.kernel.spec().writes.iter().any(|name| step.binding(name) == Some(slot));
        // The slot is the input's alone until its last reader.
        let first = self.steps.iter().position(|step| step.bindings.iter().any(|(_, resource)| *resource == slot));
        let first = first.filter(|at| !writes(&self.steps[*at], slot)).ok_or_else(|| format!("nothing reads the input `{late}`"))?;
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for (at, output) in self.outputs.iter().enumerate() {
            if !early.contains(&&*output.name) {
                after.push(at);
                continue;
            }
            if let Some(step) = self.steps[first..].iter().find(|step| writes(step, Resource::Slot(output.slot))) {
                return Err(format!("`{}` writes where the result `{}` lies, after what reads `{late}`", step.name, output.name));
            }
            before.push(at);
        }
        let others = (0..self.inputs.len()).filter(|at| *at != input).collect();
        Ok([
            Stage { inputs: others, steps: 0..first, outputs: before },
            Stage { inputs: vec![input], steps: first..self.steps.len(), outputs: after },
        ])
    }

    /// As [`Plan::pack_inputs`], of a stage's inputs.
    pub(crate) fn pack_stage(&self, stage: &Stage, tensors: &[&[f32]], out: &mut Vec<f32>) {
        out.clear();
        for (&at, values) in stage.inputs.iter().zip(tensors) {
            self.inputs[at].pack(values, out);
        }
    }

    /// Where the bytes of a stage's inputs are among them, and the slot of each.
    pub(crate) fn stage_ranges(&self, stage: &Stage) -> impl Iterator<Item = (usize, Range<usize>)> {
        stage.inputs.iter().map(|&at| &self.inputs[at]).scan(0, |end, input| {
            let start = *end;
            *end += input.shape.n * self.image_bytes(input);
            Some((input.slot, start..*end))
        })
    }
}
