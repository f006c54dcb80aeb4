//! Times steps by GPU timestamps.

use super::{
    buffers::{map, mapped, wait_here},
    context::Context,
    prepared::Prepared,
};
use crate::{Error, Result, clock, stats::median};
use std::ops::Range;

impl Context {
    /// Milliseconds of one compute pass with what `encode` puts into it, in each of `rounds`
    /// rounds. They are between the pass's timestamps, or, where there are none, from its
    /// submission to its end.
    pub(super) async fn time_pass(&self, rounds: usize, encode: &dyn Fn(&mut wgpu::ComputePass<'_>)) -> Result<Vec<f64>> {
        self.check_lost()?;
        let device = &self.device;
        let set = self.has_timestamps().then(|| {
            let ty = wgpu::QueryType::Timestamp;
            device.create_query_set(&wgpu::QuerySetDescriptor { label: Some("time"), ty, count: 2 })
        });
        let buffer =
            |label, usage| device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size: 16, usage, mapped_at_creation: false });
        let resolved = buffer("timestamps", wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC);
        let readable = buffer("timestamps read", wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
        let period = f64::from(self.queue.get_timestamp_period());
        let mut times = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("time") });
            let writes = set.as_ref().map(|query_set| wgpu::ComputePassTimestampWrites {
                query_set,
                beginning_of_pass_write_index: Some(0),
                end_of_pass_write_index: Some(1),
            });
            encode(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some("time"), timestamp_writes: writes }));
            if let Some(set) = &set {
                encoder.resolve_query_set(set, 0..2, &resolved, 0);
            }
            // Without timestamps the copy serves to wait for.
            encoder.copy_buffer_to_buffer(&resolved, 0, &readable, 0, 16);
            let commands = encoder.finish();
            let start = clock::now();
            let submission = self.queue.submit([commands]);
            let mapping = map(&readable, wgpu::MapMode::Read);
            wait_here(self, &submission)?;
            mapped(self, mapping.await)?;
            let wall = clock::now() - start;
            let ticks: Vec<u64> = {
                let view = readable.get_mapped_range(..).map_err(|e| Error::Gpu(format!("timestamps: {e}")))?;
                view.chunks_exact(8).map(|b| u64::from_le_bytes(b.try_into().expect("eight bytes"))).collect()
            };
            readable.unmap();
            times.push(if set.is_some() { ticks[1].saturating_sub(ticks[0]) as f64 * period / 1e6 } else { wall });
        }
        Ok(times)
    }
}

impl Prepared {
    /// Milliseconds of one pass over `steps`, in each of `rounds` rounds: their mean over `repeats`
    /// passes encoded one after the other in one compute pass. GPU timestamps tell them or, where
    /// there are none, the clock from submission to end.
    ///
    /// A short step vanishes in the timestamps' resolution, which is coarse in some browsers, and
    /// in what starting a pass costs. Repeated it does not. Between dispatches that use the same
    /// buffer the driver waits, as in a run. Caches are as warm as repetition makes them.
    pub async fn time_steps(&mut self, steps: Range<usize>, repeats: usize, rounds: usize) -> Result<Vec<f64>> {
        let repeats = repeats.max(1);
        let steps = &self.steps[steps];
        let encode = |pass: &mut wgpu::ComputePass<'_>| {
            for step in std::iter::repeat_n(steps, repeats).flatten() {
                step.encode(pass);
            }
        };
        let times = self.context.time_pass(rounds, &encode).await?;
        Ok(times.into_iter().map(|ms| ms / repeats as f64).collect())
    }

    /// Milliseconds of each step: the median of `rounds` runs, each step in a compute pass of its
    /// own between two timestamps.
    ///
    /// A pass of its own keeps a step from overlapping with its neighbours, so that the times
    /// attribute. Their sum is more than a run takes. Every step works on what the last run left in
    /// the slots.
    pub async fn profile(&mut self, rounds: usize) -> Result<Vec<f64>> {
        self.context.check_lost()?;
        if !self.context.has_timestamps() {
            let adapter = self.context.info().name.clone();
            return Err(Error::Unsupported { adapter, what: "has no timestamp queries, so steps cannot be timed".into() });
        }
        // A query set holds 4096 queries at most.
        const STEPS_AT_ONCE: usize = 2048;
        let device = &self.context.device;
        let queries = 2 * self.steps.len().min(STEPS_AT_ONCE);
        let set = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("profile"),
            ty: wgpu::QueryType::Timestamp,
            count: queries as u32,
        });
        let buffer = |label, usage| {
            device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size: queries as u64 * 8, usage, mapped_at_creation: false })
        };
        let resolved = buffer("timestamps", wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC);
        let readable = buffer("timestamps read", wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
        let period = f64::from(self.context.queue.get_timestamp_period());
        let mut times = vec![Vec::with_capacity(rounds); self.steps.len()];
        for _ in 0..rounds.max(1) {
            for (chunk, start) in self.steps.chunks(STEPS_AT_ONCE).zip((0..).step_by(STEPS_AT_ONCE)) {
                let mut encoder = self.context.encoder();
                for (at, step) in chunk.iter().enumerate() {
                    let writes = wgpu::ComputePassTimestampWrites {
                        query_set: &set,
                        beginning_of_pass_write_index: Some(2 * at as u32),
                        end_of_pass_write_index: Some(2 * at as u32 + 1),
                    };
                    let descriptor = wgpu::ComputePassDescriptor { label: Some("step"), timestamp_writes: Some(writes) };
                    step.encode(&mut encoder.begin_compute_pass(&descriptor));
                }
                let used = 2 * chunk.len() as u32;
                encoder.resolve_query_set(&set, 0..used, &resolved, 0);
                encoder.copy_buffer_to_buffer(&resolved, 0, &readable, 0, u64::from(used) * 8);
                let submission = self.context.queue.submit([encoder.finish()]);
                let mapping = map(&readable, wgpu::MapMode::Read);
                wait_here(&self.context, &submission)?;
                mapped(&self.context, mapping.await)?;
                {
                    let view = readable.get_mapped_range(..).map_err(|e| Error::Gpu(format!("timestamps: {e}")))?;
                    let ticks: Vec<u64> = view.chunks_exact(8).map(|b| u64::from_le_bytes(b.try_into().expect("eight bytes"))).collect();
                    for (at, pair) in ticks.chunks_exact(2).take(chunk.len()).enumerate() {
                        times[start + at].push(pair[1].saturating_sub(pair[0]) as f64 * period / 1e6);
                    }
                }
                readable.unmap();
            }
        }
        Ok(times.into_iter().map(median).collect())
    }
}
