//! Times each step by GPU timestamps.

use super::prepared::{Prepared, map};
use crate::{Error, Result};

impl Prepared {
    /// Milliseconds of each step: the median of `rounds` runs, each step in a compute pass of its own between two timestamps.
    ///
    /// A pass of its own keeps a step from overlapping with its neighbours, so the times attribute; their sum is more than a run takes.
    /// Every step works on what the last run left in the slots.
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
                self.context.queue.submit([encoder.finish()]);
                let mapping = map(&readable, wgpu::MapMode::Read);
                self.wait();
                self.mapped(mapping.await)?;
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
        Ok(times.into_iter().map(crate::median).collect())
    }
}
