//! A detector's candidates, which the device finds in a plan's results.

use super::{
    buffers::{ALIGNMENT, checked, filled},
    context::Context,
    pipelines::Pipeline,
    step::PreparedStep,
};
use crate::{
    Result,
    kernels::decode::{HEAD, Launch, Problem},
    plan::{Placed, Plan, PlanOutput, grid, padded},
};
use std::sync::Arc;

/// Records that are read back with how many there are.
const FIRST: usize = 1024;

/// The dispatches that stand behind a plan's steps, and what they leave.
pub(super) struct Decoder {
    pub(super) steps: Vec<PreparedStep>,
    pub(super) records: wgpu::Buffer,
    /// Bytes of a record.
    record: usize,
    capacity: usize,
}

impl Decoder {
    pub(super) async fn new(
        context: &Context,
        plan: &Plan,
        slots: &[wgpu::Buffer],
        problem: impl FnOnce(&[Placed]) -> Problem,
    ) -> Result<Self> {
        let results: Vec<Placed> = plan.outputs.iter().map(PlanOutput::placed).collect();
        let problem = problem(&results);
        let (launches, table) = problem.launches(&results, plan.precision.is_f16());
        let keys: Vec<_> = launches.iter().map(|launch| launch.dispatch.key.clone()).collect();
        let pipelines = context.pipelines(&keys).await?;
        let (record, capacity) = (4 * problem.record(), problem.capacity());
        let make = || {
            let params = padded(launches.iter().map(|launch| &launch.dispatch), ALIGNMENT);
            let params = filled(context, "decode params", wgpu::BufferUsages::UNIFORM, &params)?;
            let constant = |label, bytes: &[u8]| filled(context, label, wgpu::BufferUsages::STORAGE, bytes);
            let table = constant("decode table", bytemuck::cast_slice(&table))?;
            let priors = match &problem.priors[..] {
                [] => None,
                priors => Some(constant("decode priors", bytemuck::cast_slice(priors))?),
            };
            let records = context.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("records"),
                size: (HEAD + record * capacity) as u64,
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            let step = |(at, (launch, pipeline)): (usize, (&Launch, &Arc<Pipeline>))| {
                let result = |name: &str| {
                    let (_, output) = launch.bound.iter().find(|(bound, _)| *bound == name)?;
                    Some(&slots[plan.outputs[*output].slot])
                };
                let bind_group = pipeline.bind("decode", &context.device, &params, |name| {
                    let buffer = match (name, &priors) {
                        ("table", _) => &table,
                        ("records", _) => &records,
                        ("priors", Some(priors)) => priors,
                        _ => result(name).unwrap_or_else(|| unreachable!("decode.wgsl binds no `{name}`")),
                    };
                    buffer.as_entire_binding()
                });
                let params_offset = (at as u64 * ALIGNMENT) as u32;
                PreparedStep { pipeline: pipeline.clone(), bind_group, params_offset, grid: grid(launch.dispatch.workgroups) }
            };
            let steps = launches.iter().zip(&pipelines).enumerate().map(step).collect();
            Ok(Self { steps, records, record, capacity })
        };
        checked(context, make).await
    }

    /// Bytes that are read back at once.
    pub(super) fn first_bytes(&self) -> u64 {
        (HEAD + self.record * self.capacity.min(FIRST)) as u64
    }

    /// Bytes up to the end of so many records; `None` where there was no room for so many.
    pub(super) fn bytes(&self) -> impl Fn(usize) -> Option<u64> + Copy + Send + 'static {
        let (record, capacity) = (self.record, self.capacity);
        move |found| (found <= capacity).then_some((HEAD + record * found) as u64)
    }
}
