//! What becomes of a picture, timed step by step.

use super::{
    detect::{Picture, Way, places},
    model::Model,
};
use crate::{
    Result, clock,
    detect::{Corners, DetectOptions, Detector, Proposals},
    image_input::{
        Readable,
        sample::{Sampling, Window},
    },
    kernels::{decode, sample},
    plan::{Kernel, Placed, Plan},
    stats::median,
    tensor::AnyTensor,
};
use image::DynamicImage;

/// A step as it was timed: one of a plan's, or one around them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TimedStep {
    /// The node it computes, or a part of it. Around a plan: `sample`, `regions` and `decode`.
    pub name: String,
    /// The kernel that computes it, on GPUs; the CPU has a twin of it.
    pub kernel: Kernel,
    /// Milliseconds: the median.
    pub ms: f64,
    /// Multiply-adds.
    pub macs: u64,
    /// Bytes that it reads, each once.
    pub read_bytes: u64,
    /// Bytes that it writes.
    pub write_bytes: u64,
}

impl TimedStep {
    /// The steps of a plan, of which each took so many milliseconds.
    pub fn of_plan(plan: &Plan, times: &[f64]) -> Vec<Self> {
        let steps = plan.steps.iter().zip(times).map(|(step, &ms)| Self {
            name: step.name.clone(),
            kernel: step.dispatch.key.kernel,
            ms,
            macs: step.macs,
            read_bytes: step.read_bytes,
            write_bytes: step.write_bytes,
        });
        steps.collect()
    }

    fn around((name, kernel): (&str, Kernel), ms: f64, [read_bytes, write_bytes]: [u64; 2]) -> Self {
        Self { name: name.into(), kernel, ms, macs: 0, read_bytes, write_bytes }
    }
}

/// What stands in front of a plan, and behind it.
const SAMPLE: (&str, Kernel) = ("sample", sample::KERNEL);
const DECODE: (&str, Kernel) = ("decode", decode::KERNEL);

/// What `work` gives, and its milliseconds: the median of `rounds` rounds.
fn clocked<T>(rounds: usize, mut work: impl FnMut() -> T) -> (f64, T) {
    let mut timed = || {
        let start = clock::now();
        let made = work();
        (clock::now() - start, made)
    };
    let (first, mut made) = timed();
    let mut times = vec![first];
    for _ in 1..rounds {
        let (ms, again) = timed();
        times.push(ms);
        made = again;
    }
    (median(times), made)
}

/// Bytes of a network's results.
fn bytes_of(results: &[(String, AnyTensor)]) -> u64 {
    results.iter().map(|(_, tensor)| 4 * tensor.data.len() as u64).sum()
}

/// What is looked at.
struct Looked<'a> {
    readable: &'a Readable<'a>,
    window: Window,
    rounds: usize,
}

impl Looked<'_> {
    /// Width and height of the picture.
    fn shown(&self) -> [f32; 2] {
        let [h, w] = self.readable.size();
        [w as f32, h as f32]
    }

    /// The CPU's sampling, to so many values.
    fn sampled(&self, input: &Sampling, ms: f64, values: usize) -> TimedStep {
        let needed = input.problem(self.readable.size(), &[self.window]);
        let read = needed.source_rows.len() * needed.source_columns.len() * self.readable.pixel_bytes();
        TimedStep::around(SAMPLE, ms, [read, 4 * values].map(|bytes| bytes as u64))
    }
}

impl Model {
    /// The steps from a picture to detections, or to the points of all of it as one thing, in their
    /// order: a network whose [`Card`](crate::Card) is a detector's or for landmarks. Beside the
    /// plan's steps there are the picture's sampling, and for detectors the decoding of results: in
    /// two steps of which the first makes `regions` where there are two stages.
    ///
    /// On a GPU its timestamps tell the times of its dispatches, as [`Model::profile_async`] does.
    /// The clock tells what the CPU does, including there the choice among boxes that overlap.
    ///
    /// Errors: as of [`Model::detect_async`], and [`Error::Unsupported`](crate::Error::Unsupported)
    /// for a GPU without timestamps.
    pub async fn profile_picture_async(&self, image: &DynamicImage, rounds: usize) -> Result<Vec<TimedStep>> {
        let readable = Readable::new(image);
        let picture = Picture::Memory(&readable);
        let size = picture.size()?;
        let (input, window, detector) = match self.network().landmarker() {
            Some(landmarker) => {
                let all = [0.0, 0.0, size[1] as f32, size[0] as f32];
                let size = landmarker.input.fit.size().expect("a region has a size");
                (&landmarker.input, landmarker.window(all, size), None)
            }
            None => {
                let detector = self.detector()?;
                (&detector.input, self.window(detector, size)?, Some(detector))
            }
        };
        let looked = Looked { readable: &readable, window, rounds };
        if let Some(detector) = detector
            && let Some(proposals) = &detector.proposals
        {
            return self.profile_stages(detector, proposals, &looked).await;
        }
        let mut steps = Vec::new();
        let runner = match self.way(input, picture, size, &[window]).await? {
            Way::Device(mut runner) => {
                let (prepared, windows) = runner.windows(picture.source());
                let finds = detector.map(|detector| (|results: &[Placed]| detector.problem(results, window.size), detector.threshold()));
                let times = prepared.profile_window(&windows, finds, rounds).await?;
                let sample = windows.sample;
                let read = 4 * sample.source_rows.len() * sample.source_columns.len() + size_of_val(&sample.taps[..]);
                let plan = &runner.plan;
                let bytes = [read, plan.input_bytes()].map(|bytes| bytes as u64);
                steps.push(TimedStep::around(SAMPLE, times.sample, bytes));
                steps.extend(TimedStep::of_plan(plan, &times.steps));
                if let Some((detector, (ms, written))) = detector.zip(times.decode) {
                    let read = places(plan, &detector.outputs()).into_iter().map(|at| plan.outputs[at].bytes as u64);
                    steps.push(TimedStep::around(DECODE, ms, [read.sum(), written]));
                }
                runner
            }
            Way::Memory(mut runner, readable) => {
                let to = &mut runner.kept.input;
                let (ms, sampled) = clocked(rounds, || input.sample(readable, size, &window, to));
                sampled?;
                steps.push(looked.sampled(input, ms, runner.kept.input.len()));
                let names = detector.map(Detector::outputs).unwrap_or_default();
                let outputs = places(&runner.plan, &names);
                runner.run_kept(&outputs).await?;
                let times = runner.profile(rounds).await?;
                steps.extend(TimedStep::of_plan(&runner.plan, &times));
                steps.extend(detector.map(|detector| self.decoded(detector, &runner.kept.results, None, &looked)));
                runner
            }
        };
        self.inner.results.keep(runner);
        Ok(steps)
    }

    /// As [`Model::profile_picture_async`], of a detector of two stages.
    async fn profile_stages(&self, detector: &Detector, proposals: &Proposals, looked: &Looked<'_>) -> Result<Vec<TimedStep>> {
        let Looked { readable, window, rounds } = looked;
        let (ms, given) = clocked(*rounds, || self.given(&detector.input, readable, window));
        let given = given?;
        let mut steps = vec![looked.sampled(&detector.input, ms, given.data.len())];
        let (runner, second, proposed) = self.first_stage(proposals, &given).await?;
        let request = runner.request().clone();
        let frame = detector.frame(window, looked.shown());
        let (ms, regions) = clocked(*rounds, || proposals.regions(&proposed, frame));
        let bytes = [bytes_of(&proposed), size_of_val(&regions[..]) as u64];
        let of_regions = TimedStep::around(("regions", decode::KERNEL), ms, bytes);
        let (results, regions) = self.second_stage(proposals, runner, &second, regions).await?;
        let (mut runner, _) = self.inner.results.runner(self.engine(), &request).await?;
        let times = runner.profile(*rounds).await?;
        steps.extend(TimedStep::of_plan(&runner.plan, &times));
        self.inner.results.keep(runner);
        // Behind the sampling and the first stage.
        steps.insert(1 + second.steps.start, of_regions);
        steps.push(self.decoded(detector, &results, Some(&regions), looked));
        Ok(steps)
    }

    /// The CPU's decoding of results, by the card's own threshold.
    fn decoded(&self, detector: &Detector, results: &[(String, AnyTensor)], regions: Option<&[Corners]>, looked: &Looked<'_>) -> TimedStep {
        let own = detector.wanted(&DetectOptions::default(), &[]).expect("a card's own values are good");
        let label = |class| self.network().label(class);
        let decode = || detector.detections(results, regions, &looked.window, looked.shown(), &own, &label);
        let (ms, found) = clocked(looked.rounds, decode);
        // As large as a device's records.
        let written = found.iter().map(|found| 28 + size_of_val(&found.points[..]) as u64).sum();
        TimedStep::around(DECODE, ms, [bytes_of(results), written])
    }
}
