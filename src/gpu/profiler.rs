//! Times steps by GPU timestamps.

use super::{
    buffers::{map, mapped, wait_here},
    context::Context,
    prepared::Prepared,
    step::PreparedStep,
};
#[cfg(not(target_arch = "wasm32"))]
use super::{
    info::{WindowTimes, Windows},
    step::encode,
};
use crate::{Error, Result, clock, stats::median};
#[cfg(not(target_arch = "wasm32"))]
use crate::{kernels::decode, plan::Placed};
use std::ops::Range;
#[cfg(not(target_arch = "wasm32"))]
use std::sync::Arc;

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

    /// Milliseconds of each step in a compute pass of its own: the median of `rounds` rounds.
    ///
    /// Errors: [`Error::Unsupported`] for a device without timestamps.
    async fn time_each(&self, steps: &[&PreparedStep], rounds: usize) -> Result<Vec<f64>> {
        self.check_lost()?;
        if !self.has_timestamps() {
            let adapter = self.info().name.clone();
            return Err(Error::Unsupported { adapter, what: "has no timestamp queries, so steps cannot be timed".into() });
        }
        // A query set holds 4096 queries at most.
        const STEPS_AT_ONCE: usize = 2048;
        let device = &self.device;
        let queries = 2 * steps.len().min(STEPS_AT_ONCE);
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
        let period = f64::from(self.queue.get_timestamp_period());
        let mut times = vec![Vec::with_capacity(rounds); steps.len()];
        for _ in 0..rounds.max(1) {
            for (chunk, start) in steps.chunks(STEPS_AT_ONCE).zip((0..).step_by(STEPS_AT_ONCE)) {
                let mut encoder = self.encoder();
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
                let submission = self.queue.submit([encoder.finish()]);
                let mapping = map(&readable, wgpu::MapMode::Read);
                wait_here(self, &submission)?;
                mapped(self, mapping.await)?;
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
        let steps: Vec<_> = self.steps.iter().collect();
        self.context.time_each(&steps, rounds).await
    }

    /// As [`Prepared::profile`], of a run on a window of a picture. With a `problem` and a
    /// threshold candidates are found as [`Prepared::detect`] finds them.
    ///
    /// Errors: as of both.
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn profile_window<F: FnOnce(&[Placed]) -> decode::Problem>(
        &mut self,
        windows: &Windows<'_>,
        finds: Option<(F, f32)>,
        rounds: usize,
    ) -> Result<WindowTimes> {
        let found = match finds {
            Some((problem, threshold)) => Some(self.detect(windows, problem, threshold).await?),
            None => None,
        };
        let (mut encoder, sample) = self.stage(windows, &[], 0).await?;
        encode(&mut encoder, sample.iter().chain(&self.steps));
        let upload = self.flights[0].upload.clone();
        self.send(encoder, upload.as_ref(), Arc::new([])).wait().await?;
        let decoder = self.decoder.as_ref().filter(|_| found.is_some());
        let steps: Vec<_> = sample.iter().chain(&self.steps).chain(decoder.iter().flat_map(|decoder| &decoder.steps)).collect();
        let mut times = vec![Vec::with_capacity(rounds); steps.len()];
        for _ in 0..rounds.max(1) {
            if let Some(decoder) = decoder {
                // Records that are full take no more time.
                let mut encoder = self.context.encoder();
                encoder.clear_buffer(&decoder.records, 0, Some(4));
                self.context.queue.submit([encoder.finish()]);
            }
            let of_round = self.context.time_each(&steps, 1).await?;
            times.iter_mut().zip(of_round).for_each(|(times, ms)| times.push(ms));
        }
        let mut times = times.into_iter().map(median);
        let sample = times.by_ref().take(sample.len()).sum();
        let steps = times.by_ref().take(self.steps.len()).collect();
        let written = |found: Option<Vec<u32>>, room| found.map_or(room, |words| (decode::HEAD + size_of_val(&words[..])) as u64);
        let decode = decoder.zip(found).map(|(decoder, found)| (times.sum(), written(found, decoder.records.size())));
        Ok(WindowTimes { sample, steps, decode })
    }
}
