//! A plan with everything it needs on the device, and its run.

use super::{
    buffers::{ALIGNMENT, Mapping, UPLOAD, checked, filled, grow, map, mapped, poll, unreadable, wait, wait_here},
    context::Context,
    info::{Image, PrepareTimes},
    pipelines::Pipeline,
    resize::Resizer,
    step::{PreparedStep, encode},
    weights::Weights,
};
#[cfg(not(target_arch = "wasm32"))]
use super::{decode::Decoder, sample::Sampler};
#[cfg(not(target_arch = "wasm32"))]
use crate::plan::Stage;
use crate::{
    Error, Result, clock, kernels,
    plan::{Form, Plan, PlanOutput, Resource, grid, padded},
};
use futures_channel::oneshot;
use std::{
    collections::VecDeque,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// A plan's buffers, bind groups and pipelines, for one thread. Each thread makes its own.
///
/// Several runs may be under way at once, each with its own upload and readback buffers. The slots
/// are shared: a queue carries out what is submitted in order, and a run's input is copied to its
/// slot in the same submission.
pub struct Prepared {
    pub(super) context: Arc<Context>,
    pub(super) plan: Arc<Plan>,
    pub(super) slots: Vec<wgpu::Buffer>,
    pub(super) steps: Vec<PreparedStep>,
    /// For a plan that takes pixels.
    resizer: Option<Resizer>,
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) sampler: Sampler,
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) decoder: Option<Decoder>,
    /// The one that the next run takes stands first: unused, or in use for longest.
    pub(super) flights: VecDeque<Flight>,
    /// Bytes of each output in a readback buffer, in the plan's order.
    pub(super) ranges: Arc<[Range<u64>]>,
}

/// What a run has for itself while it is under way.
pub(super) struct Flight {
    /// Through which inputs or images go up; as large as the largest so far.
    pub(super) upload: Option<wgpu::Buffer>,
    pub(super) readback: Arc<wgpu::Buffer>,
    /// The run that uses them, and what it has yet to tell: that an upload buffer is mapped again,
    /// that `readback` was read.
    submission: Option<wgpu::SubmissionIndex>,
    busy: Vec<Mapping>,
}

/// A run under way. It goes on if this is dropped.
pub struct Run {
    context: Arc<Context>,
    submission: wgpu::SubmissionIndex,
    outputs: oneshot::Receiver<Outputs>,
    is_done: Arc<AtomicBool>,
    /// Lives until it was read, even if the [`Prepared`] does not.
    _readback: Arc<wgpu::Buffer>,
}

/// Each output's slot up to the output's end; `None` if the buffer could not be read.
type Outputs = Option<Vec<Vec<u8>>>;

impl Prepared {
    /// Creates everything a run needs, and says how long that took. `weights` takes the constants
    /// it does not hold yet.
    pub async fn new(context: &Arc<Context>, plan: Arc<Plan>, weights: &Weights) -> Result<(Self, PrepareTimes)> {
        context.check_lost()?;
        let limit = context.max_binding();
        for (slot, &bytes) in plan.slots.iter().enumerate() {
            if bytes as u64 > limit {
                let node =
                    plan.steps.iter().find(|s| s.bindings.iter().any(|(_, r)| *r == Resource::Slot(slot))).map_or("input", |s| &s.name);
                let what = format!("`{node}` at batch {}: bytes of one buffer", plan.batch());
                return Err(Error::Limit { what, needed: bytes as u64, limit });
            }
        }
        let start = clock::now();
        let keys: Vec<_> = plan.steps.iter().map(|s| s.dispatch.key.clone()).collect();
        let pipelines = context.pipelines(&keys).await?;

        let compiled = clock::now();
        let prepared = checked(context, || Self::make(context, plan, weights, &pipelines)).await;
        Ok((prepared?, PrepareTimes { weights: clock::now() - compiled, pipelines: compiled - start }))
    }

    /// Makes buffers for `in_flight` runs under way at once; at first there are those of one.
    pub async fn set_in_flight(&mut self, in_flight: usize) -> Result<()> {
        self.flights.truncate(in_flight.max(1));
        while self.flights.len() < in_flight {
            let flight = checked(&self.context, || Ok(Flight::new(&self.context.device, &self.plan, &self.ranges))).await?;
            // Unused, so it comes before those that may be in use.
            self.flights.push_front(flight);
        }
        Ok(())
    }

    fn make(context: &Arc<Context>, plan: Arc<Plan>, weights: &Weights, pipelines: &[Arc<Pipeline>]) -> Result<Self> {
        let device = &context.device;
        let uploaded = weights.upload(context, &plan)?;

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
        let mut params = padded(plan.steps.iter().map(|step| &step.dispatch), step_bytes);
        // No buffer is empty.
        params.resize(params.len().max(step_bytes as usize), 0);
        let params_buffer = filled(context, "params", wgpu::BufferUsages::UNIFORM, &params)?;

        let bound = |resource: Resource| match resource {
            Resource::Slot(slot) => (&slots[slot], 0..slots[slot].size()),
            Resource::Constant(constant) => uploaded.buffer(&plan, constant),
        };
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
                    let (buffer, range) = bound(*resource);
                    let size = wgpu::BufferSize::new(range.end - range.start);
                    let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset: range.start, size });
                    entries.push(wgpu::BindGroupEntry { binding: binding.index, resource });
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
                    grid: grid(step.dispatch.workgroups),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let resizer = Resizer::new(&plan, |name| {
            let (_, resource) = plan.steps[0].bindings.iter().find(|(n, _)| *n == name)?;
            let (buffer, range) = bound(*resource);
            Some((buffer.clone(), range))
        });

        let ranges: Arc<[Range<u64>]> = in_readback(&plan.outputs, 0).collect();
        let flights = [Flight::new(device, &plan, &ranges)].into();
        Ok(Self {
            context: context.clone(),
            plan,
            slots,
            steps,
            resizer,
            #[cfg(not(target_arch = "wasm32"))]
            sampler: Sampler::default(),
            #[cfg(not(target_arch = "wasm32"))]
            decoder: None,
            flights,
            ranges,
        })
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Runs the plan on `input`, the bytes of its input slot. Fewer leave the rest as it was.
    /// Returns each output's slot up to the output's end.
    pub async fn run(&mut self, inputs: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.submit(inputs).await?.wait().await
    }

    /// As [`Prepared::run`], without waiting for the result. Where as many runs are under way as
    /// there are buffers for, it waits for the oldest of them.
    pub async fn submit(&mut self, inputs: &[u8]) -> Result<Run> {
        let plan = self.plan.clone();
        let (mut encoder, upload) = self.upload(inputs, plan.input_ranges(inputs.len())).await?;
        encode(&mut encoder, &self.steps);
        Ok(self.send_outputs(encoder, Some(&upload)))
    }

    /// Runs a stage of the plan on the bytes of its inputs, which lie one after the other. Returns
    /// the stage's outputs as [`Prepared::run`] does.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) async fn run_stage(&mut self, stage: &Stage, inputs: &[u8]) -> Result<Vec<Vec<u8>>> {
        let plan = self.plan.clone();
        let (mut encoder, upload) = self.upload(inputs, plan.stage_ranges(stage)).await?;
        encode(&mut encoder, &self.steps[stage.steps.clone()]);
        let ranges = self.copy_some(&mut encoder, &stage.outputs, 0);
        self.send(encoder, Some(&upload), ranges.into()).wait().await
    }

    /// Puts bytes into the next run's upload buffer, which it gives with an encoder that copies the
    /// ranges of them each to its slot.
    async fn upload(
        &mut self,
        inputs: &[u8],
        ranges: impl Iterator<Item = (usize, Range<usize>)>,
    ) -> Result<(wgpu::CommandEncoder, wgpu::Buffer)> {
        self.context.check_lost()?;
        let flight = &mut self.flights[0];
        flight.free(&self.context).await?;
        grow(&self.context, &mut flight.upload, "upload", (inputs.len() as u64).max(4), UPLOAD).await?;
        let upload = flight.upload.clone().expect("made above");
        let mut view = upload.get_mapped_range_mut(..).map_err(|_| unreadable())?;
        view.slice(..inputs.len()).copy_from_slice(inputs);
        drop(view);
        upload.unmap();
        let mut encoder = self.context.encoder();
        for (slot, range) in ranges {
            encoder.copy_buffer_to_buffer(&upload, range.start as u64, &self.slots[slot], 0, range.len() as u64);
        }
        Ok((encoder, upload))
    }

    /// Runs the plan on inputs that lie in buffers of the device as they lie in their slots, and
    /// leaves each output's slot, up to the output's end, in a new buffer. Nothing waits: what the
    /// program submits to the queue after it finds the results.
    ///
    /// Errors: [`Error::Shape`] for a buffer that is too small or may not be copied from,
    /// [`Error::Gpu`] for one of another device.
    pub async fn run_buffers(&mut self, inputs: &[&wgpu::Buffer]) -> Result<Vec<wgpu::Buffer>> {
        self.context.check_lost()?;
        let ranges: Vec<_> = self.plan.input_ranges(self.plan.input_bytes()).collect();
        for ((input, buffer), (_, range)) in self.plan.inputs.iter().zip(inputs).zip(&ranges) {
            let (has, needed) = (buffer.size(), range.len() as u64);
            if has < needed {
                return Err(Error::shape(&input.name, format!("its buffer has {has} bytes, {needed} are needed")));
            }
            if !buffer.usage().contains(wgpu::BufferUsages::COPY_SRC) {
                return Err(Error::shape(&input.name, "its buffer was made without the usage COPY_SRC, by which it is read"));
            }
        }
        checked(&self.context, || {
            let mut encoder = self.context.encoder();
            for ((slot, range), buffer) in ranges.iter().zip(inputs) {
                encoder.copy_buffer_to_buffer(buffer, 0, &self.slots[*slot], 0, range.len() as u64);
            }
            encode(&mut encoder, &self.steps);
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
            let output = |output: &PlanOutput| {
                let size = output.bytes as u64;
                let descriptor = wgpu::BufferDescriptor { label: Some(&output.name), size, usage, mapped_at_creation: false };
                let buffer = self.context.device.create_buffer(&descriptor);
                encoder.copy_buffer_to_buffer(&self.slots[output.slot], 0, &buffer, 0, size);
                buffer
            };
            let outputs = self.plan.outputs.iter().map(output).collect();
            self.context.queue.submit([encoder.finish()]);
            Ok(outputs)
        })
        .await
    }

    /// As [`Prepared::submit`], of images that the device resizes, as many as the batch or fewer:
    /// for plans of [`Form::Classify`](crate::plan::Form::Classify). Each image is one submission,
    /// so that the largest alone decides what memory a batch takes.
    ///
    /// Errors: [`Error::Limit`] where the part of an image that the crop needs is larger than the
    /// device's buffers or textures may be.
    pub async fn submit_images(&mut self, images: &[Image<'_>]) -> Result<Run> {
        let (encoder, upload) = self.encode_images(images, 1..self.steps.len()).await?;
        Ok(self.send_outputs(encoder, upload.as_ref()))
    }

    /// Compiles what [`Prepared::submit_images`] needs for images in buffers or in textures, and
    /// returns milliseconds. Without this the first image does it.
    pub async fn prepare_images(&self, texture: bool) -> Result<f64> {
        let start = clock::now();
        self.context.pipelines(&[kernels::resize::key(self.plan.precision.is_f16(), texture)]).await?;
        Ok(clock::now() - start)
    }

    /// The bytes of the network's input as the device makes it of images: for tests. Unlike
    /// [`Prepared::submit_images`] it makes a buffer.
    pub async fn resize_images(&mut self, images: &[Image<'_>]) -> Result<Vec<u8>> {
        let (mut encoder, upload) = self.encode_images(images, 0..0).await?;
        let input = self.resizer.as_ref().expect("it encoded").output();
        let readable = self.readable(input.size());
        encoder.copy_buffer_to_buffer(input, 0, &readable, 0, input.size());
        let run = self.send_outputs(encoder, upload.as_ref());
        let mapping = map(&readable, wgpu::MapMode::Read);
        run.wait().await?;
        mapped(&self.context, mapping.await)?;
        Ok(readable.get_mapped_range(..).map_err(|e| Error::Gpu(format!("input: {e}")))?.to_vec())
    }

    /// Encodes what takes images to the device and resizes them, and `steps`. All that comes before
    /// the last image is submitted. Also gives the buffer that has to be mapped again.
    async fn encode_images(&mut self, images: &[Image<'_>], steps: Range<usize>) -> Result<(wgpu::CommandEncoder, Option<wgpu::Buffer>)> {
        self.context.check_lost()?;
        let batch = self.plan.batch();
        let Some(last) = images.len().checked_sub(1).filter(|last| *last < batch) else {
            return Err(Error::shape("input", format!("{} images for a batch of {batch}", images.len())));
        };
        let Some(input) = self.plan.inputs.first() else { return Err(Error::shape("input", "the plan takes none")) };
        let size = [input.shape.h, input.shape.w];
        if let Some([h, w]) = images.iter().map(|image| image.resize.crop).find(|of| *of != size) {
            return Err(Error::shape("input", format!("an image becomes {h} x {w}, the plan takes {} x {}", size[0], size[1])));
        }
        let resizer = self.resizer.as_mut().ok_or_else(|| Error::shape("input", "the plan takes a tensor, not images"))?;
        let flight = &mut self.flights[0];
        let mut n = 0;
        loop {
            flight.free(&self.context).await?;
            let mut encoder = self.context.encoder();
            let (resize, upload) = resizer.stage(&self.context, &mut encoder, &mut flight.upload, n, &images[n]).await?;
            if n == last {
                // It stands in for `preprocess`, the plan's first step.
                encode(&mut encoder, std::iter::once(resize).chain(&self.steps[steps]));
                return Ok((encoder, upload));
            }
            encode(&mut encoder, [resize]);
            flight.submission = Some(self.context.queue.submit([encoder.finish()]));
            flight.busy.extend(upload.map(|upload| map(&upload, wgpu::MapMode::Write)));
            n += 1;
        }
    }

    /// Copies some of the outputs, by their places, to the first flight's readback buffer, from a
    /// byte on. Returns where each is then.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn copy_some(&self, encoder: &mut wgpu::CommandEncoder, outputs: &[usize], first: u64) -> Vec<Range<u64>> {
        let outputs = || outputs.iter().map(|&at| &self.plan.outputs[at]);
        let ranges: Vec<_> = in_readback(outputs(), first).collect();
        for (output, range) in outputs().zip(&ranges) {
            self.copy_output(encoder, output, range);
        }
        ranges
    }

    fn copy_output(&self, encoder: &mut wgpu::CommandEncoder, output: &PlanOutput, to: &Range<u64>) {
        encoder.copy_buffer_to_buffer(&self.slots[output.slot], 0, &self.flights[0].readback, to.start, to.end - to.start);
    }

    fn send_outputs(&mut self, mut encoder: wgpu::CommandEncoder, upload: Option<&wgpu::Buffer>) -> Run {
        for (output, range) in self.plan.outputs.iter().zip(&*self.ranges) {
            self.copy_output(&mut encoder, output, range);
        }
        self.send(encoder, upload, self.ranges.clone())
    }

    /// Submits a run that leaves its results in `ranges` of the first flight's readback buffer.
    /// `upload` is mapped again when the device has read it.
    pub(super) fn send(&mut self, encoder: wgpu::CommandEncoder, upload: Option<&wgpu::Buffer>, ranges: Arc<[Range<u64>]>) -> Run {
        self.send_reading(encoder, upload, move |bytes| ranges.iter().map(|range| read(bytes, range)).collect())
    }

    /// As [`Prepared::send`], of a run whose results `take` makes of the readback buffer's bytes.
    pub(super) fn send_reading(
        &mut self,
        encoder: wgpu::CommandEncoder,
        upload: Option<&wgpu::Buffer>,
        take: impl FnOnce(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
    ) -> Run {
        let mut flight = self.flights.pop_front().expect("there is at least one");
        let submission = self.context.queue.submit([encoder.finish()]);

        let (send_outputs, outputs) = oneshot::channel();
        let (send_read, read) = oneshot::channel();
        let is_done = Arc::new(AtomicBool::new(false));
        // Not the buffer itself, which holds this closure: if all who could want the result are
        // gone, so is the buffer.
        let (buffer, done) = (Arc::downgrade(&flight.readback), is_done.clone());
        flight.readback.map_async(wgpu::MapMode::Read, .., move |result| {
            // Receivers are gone if nobody waits.
            let _ = send_outputs.send(result.clone().ok().and_then(|()| read_outputs(&*buffer.upgrade()?, take)));
            done.store(true, Ordering::Release);
            let _ = send_read.send(result);
        });
        let readback = flight.readback.clone();
        flight.submission = Some(submission.clone());
        flight.busy.push(read);
        flight.busy.extend(upload.map(|upload| map(upload, wgpu::MapMode::Write)));
        self.flights.push_back(flight);
        Run { context: self.context.clone(), submission, outputs, is_done, _readback: readback }
    }

    /// Fills every slot, runs all steps, and returns every slot as it is then: for tests of single
    /// kernels. Unlike [`Prepared::run`] it makes buffers.
    pub async fn run_slots(&mut self, slots: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
        self.context.check_lost()?;
        for (buffer, bytes) in self.slots.iter().zip(slots) {
            self.context.queue.write_buffer(buffer, 0, bytes);
        }
        let size: u64 = self.slots.iter().map(wgpu::Buffer::size).sum();
        let readable = self.readable(size);
        let mut encoder = self.context.encoder();
        encode(&mut encoder, &self.steps);
        let mut offset = 0;
        for buffer in &self.slots {
            encoder.copy_buffer_to_buffer(buffer, 0, &readable, offset, buffer.size());
            offset += buffer.size();
        }
        let submission = self.context.queue.submit([encoder.finish()]);
        let mapping = map(&readable, wgpu::MapMode::Read);
        wait_here(&self.context, &submission)?;
        mapped(&self.context, mapping.await)?;
        let view = readable.get_mapped_range(..).map_err(|e| Error::Gpu(format!("slots: {e}")))?;
        let mut rest = &view[..];
        Ok(self.slots.iter().map(|buffer| rest.split_off(..buffer.size() as usize).unwrap_or_default().to_vec()).collect())
    }

    pub(super) fn readable(&self, size: u64) -> wgpu::Buffer {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        self.context.device.create_buffer(&wgpu::BufferDescriptor { label: Some("readable"), size, usage, mapped_at_creation: false })
    }
}

impl Flight {
    fn new(device: &wgpu::Device, plan: &Plan, ranges: &[Range<u64>]) -> Self {
        // A plan that takes pixels may get images instead, and those may be of any size.
        let upload = (plan.form == Form::Tensors).then(|| {
            let size = (plan.input_bytes() as u64).max(4);
            device.create_buffer(&wgpu::BufferDescriptor { label: Some("upload"), size, usage: UPLOAD, mapped_at_creation: true })
        });
        let readback = readback(device, ranges.last().map_or(0, |range| range.end));
        Self { upload, readback, submission: None, busy: Vec::new() }
    }

    /// Makes room for so many bytes to be read back, of a flight that is free.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) async fn make_readable(&mut self, context: &Context, bytes: u64) -> Result<()> {
        if self.readback.size() < bytes {
            self.readback = checked(context, || Ok(readback(&context.device, bytes))).await?;
        }
        Ok(())
    }

    /// Waits until the run that uses the buffers is done with them.
    pub(super) async fn free(&mut self, context: &Arc<Context>) -> Result<()> {
        if let Some(submission) = &self.submission {
            wait(context, submission).await?;
        }
        while let Some(mapping) = self.busy.last_mut() {
            mapped(context, mapping.await)?;
            // Only now: where the wait is given up, the next one waits for what is left.
            self.busy.pop();
        }
        Ok(())
    }
}

fn readback(device: &wgpu::Device, bytes: u64) -> Arc<wgpu::Buffer> {
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    let descriptor = wgpu::BufferDescriptor { label: Some("readback"), size: bytes.max(4), usage, mapped_at_creation: false };
    Arc::new(device.create_buffer(&descriptor))
}

impl Run {
    /// Whether [`Run::wait`] would return at once, with a result or an error.
    pub fn is_done(&self) -> bool {
        poll(&self.context, wgpu::PollType::Poll).is_err() || self.is_done.load(Ordering::Acquire)
    }

    /// The result: each output's slot up to the output's end. Fails if the device is lost before it
    /// was asked for.
    pub async fn wait(self) -> Result<Vec<Vec<u8>>> {
        wait(&self.context, &self.submission).await?;
        let outputs = self.outputs.await;
        self.context.check_lost()?;
        let outputs = outputs.ok().flatten().ok_or_else(unreadable)?;
        self.context.keep_pipelines();
        Ok(outputs)
    }
}

/// Where outputs are in a readback buffer, from a byte on.
pub(super) fn in_readback<'a>(outputs: impl IntoIterator<Item = &'a PlanOutput>, first: u64) -> impl Iterator<Item = Range<u64>> {
    outputs.into_iter().scan(first, |end, output| {
        let start = end.next_multiple_of(wgpu::MAP_ALIGNMENT);
        *end = start + output.bytes as u64;
        Some(start..*end)
    })
}

fn read(bytes: &[u8], range: &Range<u64>) -> Vec<u8> {
    bytes[range.start as usize..range.end as usize].to_vec()
}

fn read_outputs(readback: &wgpu::Buffer, take: impl FnOnce(&[u8]) -> Vec<Vec<u8>>) -> Outputs {
    let view = readback.get_mapped_range(..).ok()?;
    let outputs = take(&view);
    drop(view);
    readback.unmap();
    Some(outputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Network, Precision,
        device::{Choice, DeviceClass},
        gpu::Wanted,
        graph::{Shape, passes},
        plan::{ConstantCache, PlanOptions},
    };

    fn plan(form: Form) -> Arc<Plan> {
        let mut graph = Network::embedded().unwrap().graph().clone();
        passes::run(&mut graph, passes::REQUIRED);
        passes::run(&mut graph, passes::FUSING);
        let options =
            PlanOptions { form, precision: Precision::F32, choice: Choice::new(DeviceClass::Gpu), normalise: [[0.0; 3], [1.0; 3]] };
        Arc::new(Plan::new(&graph, &[Shape::new(1, 3, 32, 32)], &options, &mut ConstantCache::new()).unwrap())
    }

    #[test]
    fn uploads_are_as_large_as_what_goes_up() {
        let Some(context) = Context::for_tests(&Wanted::default()) else { return };
        for (form, bytes) in [(Form::Tensors, 32 * 32 * 16), (Form::Classify { k: 1 }, 32 * 32 * 4)] {
            let plan = plan(form.clone());
            assert_eq!(plan.input_bytes(), bytes);
            assert!(plan.slots[plan.inputs[0].slot] > bytes, "a slot is as large as the largest tensor that shares it");
            let (mut prepared, _) = pollster::block_on(Prepared::new(&context, plan, &Weights::default())).unwrap();
            let size = |prepared: &Prepared| prepared.flights[0].upload.as_ref().map(wgpu::Buffer::size);
            assert_eq!(size(&prepared), (form == Form::Tensors).then_some(bytes as u64));
            pollster::block_on(prepared.run(&vec![0; bytes])).unwrap();
            assert_eq!(size(&prepared), Some(bytes as u64));
        }
    }

    /// A run waits for one before it only where that one has its buffers: as many have their own as
    /// may be under way.
    #[test]
    fn runs_under_way_have_buffers_of_their_own() {
        let Some(context) = Context::for_tests(&Wanted::default()) else { return };
        let plan = plan(Form::Tensors);
        let input = vec![0; plan.input_bytes()];
        for in_flight in [1, 3] {
            let (mut prepared, _) = pollster::block_on(Prepared::new(&context, plan.clone(), &Weights::default())).unwrap();
            pollster::block_on(prepared.set_in_flight(in_flight)).unwrap();
            let mut runs = Vec::new();
            for n in 0..5 {
                let used = prepared.flights.iter().filter(|flight| flight.submission.is_some()).count();
                assert_eq!((used, prepared.flights.len()), (n.min(in_flight), in_flight));
                assert_eq!(
                    prepared.flights[0].submission.is_some(),
                    n >= in_flight,
                    "the oldest run's are taken, and only if all are in use"
                );
                runs.push(pollster::block_on(prepared.submit(&input)).unwrap());
            }
            let results: Vec<_> = runs.into_iter().map(|run| pollster::block_on(run.wait()).unwrap()).collect();
            assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
        }
    }
}
