//! A plan with everything it needs on the device, and its run.

use super::{Context, Pipeline};
use crate::{
    Error, PrepareTimes, Result, clock, kernels,
    plan::{ConstantKey, PackedConstant, Plan, Precision, Resource},
};
use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

/// Packed weights on the device, shared by all plans of one graph.
#[derive(Debug, Default)]
pub struct Weights {
    uploaded: Mutex<HashMap<(ConstantKey, Precision), Uploaded>>,
}

type Uploaded = (wgpu::Buffer, Range<u64>);

/// Offsets of bindings are multiples of this: WebGPU's default `min_storage_buffer_offset_alignment`, the largest it may be.
const ALIGNMENT: u64 = 256;

pub(super) struct PreparedStep {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) bind_group: wgpu::BindGroup,
    pub(super) params_offset: u32,
    pub(super) grid: [u32; 3],
}

/// A plan's buffers, bind groups and pipelines. One run at a time: make another for another thread.
pub struct Prepared {
    pub(super) context: Arc<Context>,
    plan: Arc<Plan>,
    slots: Vec<wgpu::Buffer>,
    pub(super) steps: Vec<PreparedStep>,
    upload: wgpu::Buffer,
    readback: wgpu::Buffer,
    /// Bytes of each output in `readback`, in the plan's order.
    ranges: Vec<Range<u64>>,
}

impl Weights {
    /// Uploads the constants that are not there yet, in as few buffers as the device's limits allow.
    fn upload(&self, context: &Context, plan: &Plan) -> Result<()> {
        let mut uploaded = self.uploaded.lock().unwrap_or_else(PoisonError::into_inner);
        let place = |c: &PackedConstant| (c.key.clone(), plan.precision_of(c));
        let missing: Vec<_> = plan.constants.iter().filter(|c| !uploaded.contains_key(&place(c))).collect();
        let limit = context.max_binding();
        let mut start = 0;
        while start < missing.len() {
            let mut offsets = Vec::new();
            let mut size = 0;
            for constant in &missing[start..] {
                // A kernel's largest element is 16 bytes, so no binding is smaller.
                let bytes = ((constant.data.len() * plan.element_bytes(constant)) as u64).next_multiple_of(16).max(16);
                if bytes > limit {
                    return Err(Error::Limit {
                        what: format!("constant `{}`: bytes of one buffer", constant.key.role),
                        needed: bytes,
                        limit,
                    });
                }
                if size + bytes > limit {
                    break;
                }
                offsets.push(size..size + bytes);
                size = (size + bytes).next_multiple_of(ALIGNMENT);
            }
            let buffer = context.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("weights"),
                size,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: true,
            });
            {
                let mut view = buffer.get_mapped_range_mut(..).map_err(|e| Error::OutOfMemory(format!("weights: {e}")))?;
                for (constant, range) in missing[start..].iter().zip(&offsets) {
                    let bytes = plan.precision_of(constant).to_bytes(&constant.data);
                    view.slice(range.start as usize..range.start as usize + bytes.len()).copy_from_slice(&bytes);
                }
            }
            buffer.unmap();
            for (constant, range) in missing[start..].iter().zip(&offsets) {
                uploaded.insert(place(constant), (buffer.clone(), range.clone()));
            }
            start += offsets.len();
        }
        Ok(())
    }
}

impl Prepared {
    /// Creates everything a run needs, and says how long that took; `weights` takes the constants it does not hold yet.
    pub async fn new(context: &Arc<Context>, plan: Arc<Plan>, weights: &Weights) -> Result<(Self, PrepareTimes)> {
        context.check_lost()?;
        let device = &context.device;
        let limit = context.max_binding();
        for (slot, &bytes) in plan.slots.iter().enumerate() {
            if bytes as u64 > limit {
                let node =
                    plan.steps.iter().find(|s| s.bindings.iter().any(|(_, r)| *r == Resource::Slot(slot))).map_or("input", |s| &s.name);
                let what = format!("`{node}` at batch {}: bytes of one buffer", plan.input.shape.n);
                return Err(Error::Limit { what, needed: bytes as u64, limit });
            }
        }
        let start = clock::now();
        let keys: Vec<_> = plan.steps.iter().map(|s| s.dispatch.key.clone()).collect();
        let pipelines = context.pipelines(&keys).await?;

        let compiled = clock::now();
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let made = Self::make(context, plan, weights, &pipelines);
        let (invalid, full) = (validation.pop().await, memory.pop().await);
        // Memory first: a buffer that could not be made is invalid for everything that uses it.
        match full.or(invalid) {
            Some(error) => Err(error.into()),
            None => Ok((made?, PrepareTimes { weights: clock::now() - compiled, pipelines: compiled - start })),
        }
    }

    fn make(context: &Arc<Context>, plan: Arc<Plan>, weights: &Weights, pipelines: &[Arc<Pipeline>]) -> Result<Self> {
        let device = &context.device;
        weights.upload(context, &plan)?;
        let uploaded = weights.uploaded.lock().unwrap_or_else(PoisonError::into_inner);

        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let slots: Vec<wgpu::Buffer> = plan
            .slots
            .iter()
            .enumerate()
            .map(|(slot, &bytes)| {
                let label = format!("slot {slot}");
                let descriptor = wgpu::BufferDescriptor { label: Some(&label), size: bytes as u64, usage, mapped_at_creation: false };
                device.create_buffer(&descriptor)
            })
            .collect();

        let step_bytes = u64::from(device.limits().min_uniform_buffer_offset_alignment).max(ALIGNMENT);
        let mut params = vec![0; step_bytes as usize * plan.steps.len().max(1)];
        for (bytes, step) in params.chunks_mut(step_bytes as usize).zip(&plan.steps) {
            bytes[..step.dispatch.params.len()].copy_from_slice(&step.dispatch.params);
        }
        let params_buffer = filled(device, "params", wgpu::BufferUsages::UNIFORM, &params)?;

        let steps = plan
            .steps
            .iter()
            .zip(pipelines)
            .enumerate()
            .map(|(at, (step, pipeline))| {
                let params_binding = wgpu::BufferBinding { buffer: &params_buffer, offset: 0, size: wgpu::BufferSize::new(step_bytes) };
                let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(params_binding) }];
                for binding in &pipeline.bindings {
                    let (_, resource) = step.bindings.iter().find(|(name, _)| *name == binding.name).ok_or_else(|| {
                        Error::Gpu(format!(
                            "`{}`: shader {} binds `{}`, the plan does not",
                            step.name,
                            step.dispatch.key.file_name(),
                            binding.name
                        ))
                    })?;
                    let resource = match *resource {
                        Resource::Slot(slot) => slots[slot].as_entire_buffer_binding(),
                        Resource::Constant(constant) => {
                            let constant = &plan.constants[constant];
                            let (buffer, range) = &uploaded[&(constant.key.clone(), plan.precision_of(constant))];
                            wgpu::BufferBinding { buffer, offset: range.start, size: wgpu::BufferSize::new(range.end - range.start) }
                        }
                    };
                    entries.push(wgpu::BindGroupEntry { binding: binding.index, resource: wgpu::BindingResource::Buffer(resource) });
                }
                let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some(&step.name),
                    layout: &pipeline.layout,
                    entries: &entries,
                });
                Ok(PreparedStep {
                    pipeline: pipeline.clone(),
                    bind_group,
                    params_offset: (at as u64 * step_bytes) as u32,
                    grid: kernels::grid(step.dispatch.workgroups),
                })
            })
            .collect::<Result<Vec<_>>>()?;

        let mut size = 0;
        let ranges: Vec<Range<u64>> = plan
            .outputs
            .iter()
            .map(|output| {
                let range = size..size + output.bytes as u64;
                size = range.end.next_multiple_of(wgpu::MAP_ALIGNMENT);
                range
            })
            .collect();
        let upload = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("upload"),
            size: plan.slots[plan.input.slot] as u64,
            usage: wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: true,
        });
        let readback = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("readback"),
            size: size.max(4),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Ok(Self { context: context.clone(), plan, slots, steps, upload, readback, ranges })
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Runs the plan on `input`, the bytes of its input slot (fewer leave the rest as it was); returns each output's slot
    /// up to the output's end.
    pub async fn run(&mut self, input: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.context.check_lost()?;
        self.write_input(input)?;
        let mut encoder = self.encoder();
        encoder.copy_buffer_to_buffer(&self.upload, 0, &self.slots[self.plan.input.slot], 0, input.len() as u64);
        self.encode_steps(&mut encoder);
        for (output, range) in self.plan.outputs.iter().zip(&self.ranges) {
            encoder.copy_buffer_to_buffer(&self.slots[output.slot], 0, &self.readback, range.start, range.end - range.start);
        }
        self.context.queue.submit([encoder.finish()]);
        let (read, write) = (map(&self.readback, wgpu::MapMode::Read), map(&self.upload, wgpu::MapMode::Write));
        wait(&self.context);
        mapped(&self.context, read.await)?;
        mapped(&self.context, write.await)?;
        let outputs = {
            let view = self.readback.get_mapped_range(..).map_err(|e| Error::Gpu(format!("readback: {e}")))?;
            self.ranges.iter().map(|range| view[range.start as usize..range.end as usize].to_vec()).collect()
        };
        self.readback.unmap();
        self.context.keep_pipelines();
        Ok(outputs)
    }

    /// Fills every slot, runs all steps, and returns every slot as it is then: for tests of single kernels. Unlike [`Prepared::run`] it
    /// makes buffers.
    pub async fn run_slots(&mut self, slots: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
        self.context.check_lost()?;
        for (buffer, bytes) in self.slots.iter().zip(slots) {
            self.context.queue.write_buffer(buffer, 0, bytes);
        }
        let size: u64 = self.slots.iter().map(wgpu::Buffer::size).sum();
        let readable = self.context.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("slots"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.encoder();
        self.encode_steps(&mut encoder);
        let mut offset = 0;
        for buffer in &self.slots {
            encoder.copy_buffer_to_buffer(buffer, 0, &readable, offset, buffer.size());
            offset += buffer.size();
        }
        self.context.queue.submit([encoder.finish()]);
        let mapping = map(&readable, wgpu::MapMode::Read);
        wait(&self.context);
        mapped(&self.context, mapping.await)?;
        let view = readable.get_mapped_range(..).map_err(|e| Error::Gpu(format!("slots: {e}")))?;
        let mut rest = &view[..];
        Ok(self.slots.iter().map(|buffer| rest.split_off(..buffer.size() as usize).unwrap_or_default().to_vec()).collect())
    }

    fn encode_steps(&self, encoder: &mut wgpu::CommandEncoder) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some("run"), timestamp_writes: None });
        for step in &self.steps {
            step.encode(&mut pass);
        }
    }

    fn write_input(&self, input: &[u8]) -> Result<()> {
        let mut view = self.upload.get_mapped_range_mut(..).map_err(|e| Error::Gpu(format!("upload: {e}")))?;
        view.slice(..input.len()).copy_from_slice(input);
        drop(view);
        self.upload.unmap();
        Ok(())
    }

    pub(super) fn encoder(&self) -> wgpu::CommandEncoder {
        self.context.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("run") })
    }
}

impl PreparedStep {
    pub(super) fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[self.params_offset]);
        pass.dispatch_workgroups(self.grid[0], self.grid[1], self.grid[2]);
    }
}

type Mapping = futures_channel::oneshot::Receiver<Result<(), wgpu::BufferAsyncError>>;

/// Asks for a buffer to be mapped.
pub(super) fn map(buffer: &wgpu::Buffer, mode: wgpu::MapMode) -> Mapping {
    let (sender, receiver) = futures_channel::oneshot::channel();
    buffer.map_async(mode, .., move |result| {
        // The receiver is gone if the run was cancelled.
        let _ = sender.send(result);
    });
    receiver
}

/// Blocks until the device is done; in a browser returns at once, and awaiting a map does the waiting.
pub(super) fn wait(context: &Context) {
    // A failure shows as an unmapped buffer or a lost device, with a better message.
    let _ = context.device.poll(wgpu::PollType::wait_indefinitely());
}

pub(super) fn mapped(
    context: &Context,
    result: Result<Result<(), wgpu::BufferAsyncError>, futures_channel::oneshot::Canceled>,
) -> Result<()> {
    match result {
        Ok(Ok(())) => Ok(()),
        _ => {
            context.check_lost()?;
            Err(Error::DeviceLost("a result buffer could not be mapped".into()))
        }
    }
}

pub(super) fn filled(device: &wgpu::Device, label: &str, usage: wgpu::BufferUsages, bytes: &[u8]) -> Result<wgpu::Buffer> {
    let descriptor = wgpu::BufferDescriptor { label: Some(label), size: bytes.len() as u64, usage, mapped_at_creation: true };
    let buffer = device.create_buffer(&descriptor);
    buffer.get_mapped_range_mut(..).map_err(|e| Error::OutOfMemory(format!("{label}: {e}")))?.copy_from_slice(bytes);
    buffer.unmap();
    Ok(buffer)
}
