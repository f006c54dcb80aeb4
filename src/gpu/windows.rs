//! Runs of plans on windows of a picture.

use super::{
    buffers::{map, mapped},
    decode::Decoder,
    info::Windows,
    prepared::{Prepared, Run, in_readback},
    step::{PreparedStep, encode},
};
use crate::{Error, Result, kernels::decode, plan::Placed};
use std::sync::Arc;

impl Prepared {
    /// Runs the plan on each of the windows, one after the other in one submission: for plans of
    /// one image whose input takes them. The result is that of each window, one after the other: of
    /// the plan's outputs those of these places.
    ///
    /// Errors: [`Error::Shape`] for a plan of another input. [`Error::Limit`] where the part of the
    /// picture that the windows need is larger than the device's buffers or textures may be.
    pub async fn submit_windows(&mut self, windows: &Windows<'_>, outputs: &[usize]) -> Result<Run> {
        let last = in_readback(outputs.iter().map(|&at| &self.plan.outputs[at]), 0).last();
        let stride = last.map_or(0, |range| range.end.next_multiple_of(wgpu::MAP_ALIGNMENT));
        let (mut encoder, steps) = self.stage(windows, &[], stride * windows.sample.windows() as u64).await?;
        let mut ranges = Vec::with_capacity(steps.len() * outputs.len());
        for (step, window) in steps.iter().zip(0..) {
            encode(&mut encoder, std::iter::once(step).chain(&self.steps));
            ranges.extend(self.copy_some(&mut encoder, outputs, window * stride));
        }
        let upload = self.flights[0].upload.clone();
        Ok(self.send(encoder, upload.as_ref(), ranges.into()))
    }

    /// Runs the plan on a window, and finds the candidates above a threshold that `problem` says
    /// for the plan's results, which is asked once. Gives the words of their records, in no order;
    /// `None` where there are more than the device has room for.
    ///
    /// One submission and one readback do it, unless there are more than 1024. Errors: as of
    /// [`Prepared::submit_windows`], and [`Error::Shape`] for several windows.
    pub async fn detect(
        &mut self,
        windows: &Windows<'_>,
        problem: impl FnOnce(&[Placed]) -> decode::Problem,
        threshold: f32,
    ) -> Result<Option<Vec<u32>>> {
        if windows.sample.windows() != 1 {
            return Err(Error::shape("input", format!("{} windows of a picture, one is needed", windows.sample.windows())));
        }
        let decoder = match self.decoder.take() {
            Some(decoder) => decoder,
            None => Decoder::new(&self.context, &self.plan, &self.slots, problem).await?,
        };
        let decoder = self.decoder.insert(decoder);
        let first = decoder.first_bytes();
        let (mut encoder, steps) = self.stage(windows, &decode::head(threshold), first).await?;
        let decoder = self.decoder.as_ref().expect("made above");
        let upload = self.flights[0].upload.clone();
        if let Some(upload) = &upload {
            encoder.copy_buffer_to_buffer(upload, 0, &decoder.records, 0, decode::HEAD as u64);
        }
        encode(&mut encoder, steps.iter().chain(&self.steps).chain(&decoder.steps));
        encoder.copy_buffer_to_buffer(&decoder.records, 0, &self.flights[0].readback, 0, first);
        let bytes = decoder.bytes();
        // Most of what comes back is room for records that there are not.
        let used = move |readback: &[u8]| {
            let end = bytes(found(readback)).unwrap_or(0).min(first) as usize;
            vec![readback[..end.max(decode::HEAD)].to_vec()]
        };
        let mut read = self.send_reading(encoder, upload.as_ref(), used).wait().await?.remove(0);
        let Some(end) = bytes(found(&read)) else { return Ok(None) };
        if end > first {
            let decoder = self.decoder.as_ref().expect("made above");
            let records = decoder.records.clone();
            let flight = &mut self.flights[0];
            flight.free(&self.context).await?;
            flight.make_readable(&self.context, end - first).await?;
            let mut encoder = self.context.encoder();
            encoder.copy_buffer_to_buffer(&records, first, &flight.readback, 0, end - first);
            read.append(&mut self.send(encoder, None, std::iter::once(0..end - first).collect()).wait().await?.remove(0));
        }
        Ok(Some(bytemuck::pod_collect_to_vec(&read[decode::HEAD..])))
    }

    /// Results of the last run once more: those of these places among the plan's outputs.
    pub async fn results(&mut self, outputs: &[usize]) -> Result<Vec<Vec<u8>>> {
        self.context.check_lost()?;
        self.flights[0].free(&self.context).await?;
        let mut encoder = self.context.encoder();
        let ranges = self.copy_some(&mut encoder, outputs, 0);
        self.send(encoder, None, ranges.into()).wait().await
    }

    /// Takes windows to the device as [`Sampler::stage`] does, once the first flight is free and
    /// has room to read `readback` bytes back.
    pub(super) async fn stage(
        &mut self,
        windows: &Windows<'_>,
        head: &[u8],
        readback: u64,
    ) -> Result<(wgpu::CommandEncoder, Vec<PreparedStep>)> {
        self.context.check_lost()?;
        let input = match &self.plan.inputs[..] {
            [input] if windows.sample.fits(input) => input,
            _ => return Err(Error::shape("input", "the plan takes no window of a picture")),
        };
        let flight = &mut self.flights[0];
        flight.free(&self.context).await?;
        flight.make_readable(&self.context, readback).await?;
        let mut encoder = self.context.encoder();
        let to = (&self.slots[input.slot], self.plan.precision.is_f16());
        let steps = self.sampler.stage(&self.context, &mut encoder, &mut flight.upload, head, windows, to).await?;
        Ok((encoder, steps))
    }

    /// The bytes of the network's input as the device makes it of a window: for tests. Unlike
    /// [`Prepared::submit_windows`] it makes a buffer.
    pub async fn sample_window(&mut self, windows: &Windows<'_>) -> Result<Vec<u8>> {
        let (mut encoder, steps) = self.stage(windows, &[], 0).await?;
        encode(&mut encoder, &steps);
        let input = &self.slots[self.plan.inputs[0].slot];
        let bytes = self.plan.input_bytes() as u64;
        let readable = self.readable(bytes);
        encoder.copy_buffer_to_buffer(input, 0, &readable, 0, bytes);
        let upload = self.flights[0].upload.clone();
        let run = self.send(encoder, upload.as_ref(), Arc::new([]));
        let mapping = map(&readable, wgpu::MapMode::Read);
        run.wait().await?;
        mapped(&self.context, mapping.await)?;
        Ok(readable.get_mapped_range(..).map_err(|e| Error::Gpu(format!("input: {e}")))?.to_vec())
    }
}

/// How many records there are, by the first of their bytes.
fn found(bytes: &[u8]) -> usize {
    bytemuck::pod_read_unaligned::<u32>(&bytes[..4]) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        device::{Choice, DeviceClass},
        gpu::{Context, Source, Wanted, Weights},
        graph::{Activation, Graph, Op, Shape},
        kernels::{
            decode::{Activation as Score, Form, Table},
            resize::Rows,
            sample::{Problem, Tap},
        },
        plan::{ConstantCache, Form as PlanForm, Plan, PlanOptions, Precision},
    };
    use std::ops::Range;

    /// Rows of one grey.
    struct Grey(u8);

    impl Rows for Grey {
        fn row<'a>(&'a self, _: usize, x: Range<usize>, scratch: &'a mut Vec<u8>) -> &'a [u8] {
            scratch.clear();
            scratch.resize(x.len() * 3, self.0);
            scratch
        }
    }

    const SIDE: usize = 64;

    /// A run is one submission, its results are mapped once, and its upload is mapped again.
    const RUN: u64 = 3;
    /// A submission that only copies, and the mapping of what it copied.
    const SECOND_COPY: u64 = 2;

    fn prepared(context: &Arc<Context>) -> Prepared {
        let mut graph = Graph::new();
        let input = graph.add_input(3).unwrap();
        let output = graph.add("relu", Op::Activate(Activation::Relu), &[input]).unwrap();
        graph.add_output("y", output);
        of_graph(context, &graph)
    }

    fn of_graph(context: &Arc<Context>, graph: &Graph) -> Prepared {
        let (form, precision, choice) = (PlanForm::Tensors, Precision::F32, Choice::new(DeviceClass::Gpu));
        let options = PlanOptions { form, precision, choice, normalise: [[0.0; 3]; 2] };
        let plan = Plan::new(graph, &[Shape::new(1, 3, SIDE, SIDE)], &options, &mut ConstantCache::new()).unwrap();
        pollster::block_on(Prepared::new(context, Arc::new(plan), &Weights::default())).unwrap().0
    }

    /// As many windows, each all of a picture of so many pixels to a side.
    fn sample(windows: usize, side: usize) -> Problem {
        let tap = |at: usize| Tap { first: (at % side) as u32, second: (at % side) as u32, share: 0.0 };
        Problem {
            source_rows: 0..side,
            source_columns: 0..side,
            size: [SIDE; 2],
            is_nhwc: false,
            is_bgr: false,
            mean: [0.0; 3],
            std: [255.0; 3],
            pad: [0.0; 3],
            taps: (0..windows * 2 * SIDE).map(tap).collect(),
        }
    }

    /// Every pixel is a candidate, and its red the score and all of the box.
    fn every_pixel(_: &[Placed]) -> decode::Problem {
        let table = |columns: usize| vec![Table { output: 0, rows: SIDE * SIDE, start: 0, per: 1, part: 0, step: 1, column: columns }];
        decode::Problem {
            classes: table(1),
            columns: 1,
            skipped: 0,
            activation: Score::None,
            each: false,
            objectness: Vec::new(),
            powers: [1.0; 2],
            boxes: table(0),
            form: Form::Corners([1.0; 2]),
            points: Vec::new(),
            values: 0,
            point_scale: 1.0,
            sides: [SIDE as f32; 2],
            priors: Vec::new(),
        }
    }

    /// Submissions and mappings of buffers before now, and this question, which is a submission:
    /// wgpu numbers both together.
    fn counted(context: &Context) -> u64 {
        let text = format!("{:?}", context.queue.submit([]));
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    /// All that a run may have made larger.
    fn buffers(prepared: &Prepared) -> Vec<Option<wgpu::Buffer>> {
        let flight = &prepared.flights[0];
        let mut all = prepared.sampler.buffers();
        all.extend([flight.upload.clone(), Some((*flight.readback).clone()), prepared.decoder.as_ref().map(|d| d.records.clone())]);
        all
    }

    fn run(prepared: &mut Prepared, grey: u8, threshold: f32) -> Option<Vec<u32>> {
        let sample = sample(1, 100);
        let windows = Windows { sample: &sample, source: Source::Buffer(&Grey(grey)) };
        pollster::block_on(prepared.detect(&windows, every_pixel, threshold)).unwrap()
    }

    #[test]
    fn a_picture_of_a_known_size_is_one_submission_and_nothing_is_made() {
        let Some(context) = Context::for_tests(&Wanted::default()) else { return };
        let mut prepared = prepared(&context);
        assert_eq!(run(&mut prepared, 102, 0.5), Some(Vec::new()));
        let (made, before) = (buffers(&prepared), counted(&context));
        assert!(made.iter().all(Option::is_some));
        assert_eq!(run(&mut prepared, 102, 0.5), Some(Vec::new()));
        assert_eq!(counted(&context) - before, 1 + RUN);
        assert!(buffers(&prepared) == made);
        // More than come back at once are a second copy, and none is lost.
        let all = run(&mut prepared, 102, 0.25).unwrap();
        assert_eq!(counted(&context) - before, 1 + RUN + 1 + RUN + SECOND_COPY);
        let mut rows: Vec<u32> = all.chunks_exact(7).map(|record| record[0]).collect();
        rows.sort_unstable();
        assert_eq!(rows, (0..(SIDE * SIDE) as u32).collect::<Vec<_>>());
        let score = 0.4f32;
        assert!(all.chunks_exact(7).all(|record| record[2..].iter().all(|v| (f32::from_bits(*v) - score).abs() < 1e-6)), "{:?}", &all[..7]);
        // And the next picture finds none of them.
        assert_eq!(run(&mut prepared, 50, 0.25), Some(Vec::new()));
    }

    /// Of results that nobody asks for nothing comes back.
    #[test]
    fn results_that_are_not_asked_for_stay() {
        let Some(context) = Context::for_tests(&Wanted::default()) else { return };
        let mut graph = Graph::new();
        let input = graph.add_input(3).unwrap();
        let all = graph.add("relu", Op::Activate(Activation::Relu), &[input]).unwrap();
        let mean = graph.add("mean", Op::GlobalPool, &[all]).unwrap();
        graph.add_output("all", all);
        graph.add_output("mean", mean);
        let mut prepared = of_graph(&context, &graph);
        let before = prepared.flights[0].readback.size();
        let sample = sample(9, 10);
        let windows = Windows { sample: &sample, source: Source::Buffer(&Grey(51)) };
        let outputs = pollster::block_on(async { prepared.submit_windows(&windows, &[1]).await?.wait().await }).unwrap();
        assert_eq!((outputs.len(), prepared.flights[0].readback.size()), (9, before));
        assert!(outputs.iter().all(|output| (bytemuck::pod_read_unaligned::<f32>(&output[..4]) - 0.2).abs() < 1e-6));
    }

    #[test]
    fn windows_are_one_submission_each_with_its_own_results() {
        let Some(context) = Context::for_tests(&Wanted::default()) else { return };
        let mut prepared = prepared(&context);
        let mut all = |count: usize, grey: u8| {
            let sample = sample(count, 10);
            let windows = Windows { sample: &sample, source: Source::Buffer(&Grey(grey)) };
            let before = counted(&context);
            let outputs = pollster::block_on(async { prepared.submit_windows(&windows, &[0]).await?.wait().await }).unwrap();
            assert_eq!((outputs.len(), counted(&context) - before), (count, 1 + RUN));
            let expected = f32::from(grey) / 255.0;
            for output in outputs {
                let values: Vec<f32> = bytemuck::pod_collect_to_vec(&output);
                assert!(values.chunks_exact(4).all(|pixel| pixel[..3].iter().all(|v| (v - expected).abs() < 1e-6)));
            }
        };
        for (count, grey) in [(1, 9), (5, 200), (2, 30)] {
            all(count, grey);
        }
    }
}
