//! Pictures to detections and landmarks.

use super::{
    model::Model,
    part::{Request, Runner, RunnerKind, check, results, slots},
};
use crate::{
    Error, Result,
    detect::{Corners, DetectOptions, Detection, Detector, Frame, Landmarker, Proposals},
    gpu,
    image_input::{
        Readable,
        sample::{Sampling, Window},
    },
    kernels::sample::Problem,
    plan::Form,
    tensor::{AnyTensor, Tensor, Values},
};
use image::DynamicImage;

/// A network's results by name.
type Results = Vec<(String, AnyTensor)>;

/// Windows that are sampled in one submission: each has its share of the buffers that go up and
/// come back.
const MOST_WINDOWS: usize = 64;

/// Where a picture is.
#[derive(Clone, Copy)]
enum Picture<'a> {
    Memory(&'a DynamicImage),
    Texture(&'a gpu::Texture),
}

/// Who samples it.
enum Way<'a> {
    /// The device of this runner, as the problem says.
    Device(Runner, Problem),
    /// The CPU, an image in memory.
    Memory(&'a DynamicImage),
}

impl<'a> Picture<'a> {
    fn readable(self) -> Option<Readable<'a>> {
        match self {
            Self::Memory(image) => Some(Readable::new(image)),
            Self::Texture(_) => None,
        }
    }

    /// What the device samples; of an image in memory what [`Picture::readable`] gave.
    fn source<'s>(self, readable: &'s Option<Readable<'_>>) -> gpu::Source<'s>
    where
        'a: 's,
    {
        match (self, readable) {
            (Self::Texture(texture), _) => gpu::Source::OnDevice(texture, [0, 0]),
            (Self::Memory(_), Some(readable)) => gpu::Source::Buffer(readable),
            (Self::Memory(_), None) => unreachable!("it is readable"),
        }
    }

    /// Rows and columns.
    fn size(self) -> Result<[usize; 2]> {
        let [h, w] = match self {
            Self::Memory(image) => [image.height(), image.width()],
            Self::Texture(texture) => [texture.height(), texture.width()],
        };
        if h == 0 || w == 0 {
            return Err(Error::shape("image", format!("{w} x {h} has no pixels")));
        }
        Ok([h, w].map(|side| side as usize))
    }
}

impl Model {
    /// What the network finds in a picture, best first: a network whose [`Card`](crate::Card) is a
    /// detector's. A GPU samples the picture itself, and finds the candidates above the threshold,
    /// unless [`EngineOptions::resize_on_device`](crate::EngineOptions::resize_on_device) says no.
    /// Else the calling thread does.
    ///
    /// Errors: [`Error::Model`] for a network that detects nothing, an option out of its range, a
    /// class that the card does not know, and a picture whose size the network does not take.
    /// [`Error::Shape`] for one without pixels. [`Error::Limit`] and [`Error::OutOfMemory`] for one
    /// that is too large.
    pub async fn detect_async(&self, image: &DynamicImage, options: &DetectOptions) -> Result<Vec<Detection>> {
        self.detect_in(Picture::Memory(image), options).await
    }

    /// As [`Model::detect_async`], of several pictures.
    pub async fn detect_batch_async(&self, images: &[DynamicImage], options: &DetectOptions) -> Result<Vec<Vec<Detection>>> {
        let mut all = Vec::with_capacity(images.len());
        for image in images {
            all.push(self.detect_async(image, options).await?);
        }
        Ok(all)
    }

    /// As [`Model::detect_async`], of a texture on the device of
    /// [`Engine::with_device`](crate::Engine::with_device). The device copies and samples it in the
    /// order of its queue, after what was submitted before, and none of its pixels passes through
    /// this program's memory. Values are taken as they are stored, sRGB-encoded as pictures are.
    ///
    /// Errors: as of [`Model::detect_async`], and [`Error::Model`] for a network of two stages, whose
    /// pictures the CPU samples. [`Error::Unsupported`] on the CPU. [`Error::Shape`] for a format
    /// other than `Rgba8Unorm`, `Bgra8Unorm` and their sRGB forms, and a texture without `COPY_SRC`.
    /// [`Error::Gpu`] for one of another device; of another instance, wgpu itself panics.
    pub async fn detect_texture_async(&self, texture: &gpu::Texture, options: &DetectOptions) -> Result<Vec<Detection>> {
        gpu::check_texture(texture, [0, 0, texture.width(), texture.height()])?;
        self.detect_in(Picture::Texture(texture), options).await
    }

    /// The points of each of the things that a detector found in the picture, in its pixels, x and
    /// y: a network whose [`Card`](crate::Card) is for landmarks. A thing has none where the network
    /// gives what is no number.
    ///
    /// Errors: [`Error::Model`] for a network that gives none. [`Error::Shape`] for a picture without
    /// pixels. [`Error::Limit`] and [`Error::OutOfMemory`] for one that is too large.
    pub async fn landmarks_async(&self, image: &DynamicImage, found: &[Detection]) -> Result<Vec<Vec<[f32; 2]>>> {
        self.landmarks_in(Picture::Memory(image), found).await
    }

    /// As [`Model::landmarks_async`], of a texture as [`Model::detect_texture_async`] takes it.
    pub async fn landmarks_texture_async(&self, texture: &gpu::Texture, found: &[Detection]) -> Result<Vec<Vec<[f32; 2]>>> {
        gpu::check_texture(texture, [0, 0, texture.width(), texture.height()])?;
        self.landmarks_in(Picture::Texture(texture), found).await
    }

    async fn detect_in(&self, picture: Picture<'_>, options: &DetectOptions) -> Result<Vec<Detection>> {
        let size = picture.size()?;
        let detector = self.detector()?;
        let wrong = |what: String| Error::Model(format!("{}: {what}", self.network().name()));
        let only = self.network().card().only(options).map_err(wrong)?;
        let wanted = detector.wanted(options, &only).map_err(wrong)?;
        if let (Picture::Texture(_), Some(_)) = (picture, &detector.proposals) {
            return Err(wrong("the CPU samples the pictures of its two stages, and none that a GPU holds".into()));
        }
        let window = detector.input.fit.window(size);
        if detector.input.fit.size().is_none() {
            detector.check_graph(self.network().graph(), window.size, self.network().labels().len()).map_err(wrong)?;
        }
        let shown = [size[1] as f32, size[0] as f32];
        let label = |class| self.network().label(class);
        let of_results = |results: &[(String, AnyTensor)], regions: Option<&[Corners]>| {
            detector.detections(results, regions, &window, shown, &wanted, &label)
        };
        let (mut runner, sample) = match self.way(&detector.input, picture, size, &[window]).await? {
            Way::Device(runner, sample) => (runner, sample),
            Way::Memory(image) => {
                let given = self.given(&detector.input, image, &window)?;
                let Some(proposals) = &detector.proposals else {
                    return Ok(of_results(&self.run_named_async(&[(&detector.input.name, &given)]).await?, None));
                };
                let (results, regions) = self.in_stages(proposals, given, detector.frame(&window, shown)).await?;
                return Ok(of_results(&results, Some(&regions)));
            }
        };
        let RunnerKind::Gpu(prepared) = &mut runner.kind else { unreachable!("it is a device's") };
        let readable = picture.readable();
        let windows = gpu::Windows { sample: &sample, source: picture.source(&readable) };
        let records = prepared.detect(&windows, |results| detector.problem(results, window.size), wanted.threshold).await?;
        let found = match records {
            Some(records) => detector.detections_of_records(&records, &window, shown, &wanted, &label),
            // More than the device has room for: then all of the results.
            None => of_results(&results(&runner.plan, &slots(&runner.plan, prepared.results().await?), 1), None),
        };
        self.inner.results.keep(runner);
        Ok(found)
    }

    async fn landmarks_in(&self, picture: Picture<'_>, found: &[Detection]) -> Result<Vec<Vec<[f32; 2]>>> {
        let landmarker = self.landmarker()?;
        let size = landmarker.input.fit.size().expect("a region has a size");
        let picture_size = picture.size()?;
        let windows: Vec<Window> = found.iter().map(|found| landmarker.window(found.corners, size)).collect();
        let readable = picture.readable();
        let mut all = Vec::with_capacity(found.len());
        for windows in windows.chunks(MOST_WINDOWS) {
            let (mut runner, sample) = match self.way(&landmarker.input, picture, picture_size, windows).await? {
                Way::Device(runner, sample) => (runner, sample),
                Way::Memory(image) => {
                    for window in windows {
                        all.push(landmarker.points(&self.results(&landmarker.input, image, window).await?, window));
                    }
                    continue;
                }
            };
            let RunnerKind::Gpu(prepared) = &mut runner.kind else { unreachable!("it is a device's") };
            let run = prepared.submit_windows(&gpu::Windows { sample: &sample, source: picture.source(&readable) }).await?;
            let outputs = run.wait().await?;
            for (window, outputs) in windows.iter().zip(outputs.chunks(runner.plan.outputs.len())) {
                let results = results(&runner.plan, &slots(&runner.plan, outputs.to_vec()), 1);
                all.push(landmarker.points(&results, window));
            }
            self.inner.results.keep(runner);
        }
        Ok(all)
    }

    /// Who samples windows of a picture of `size`, rows and columns.
    async fn way<'p>(&self, input: &Sampling, picture: Picture<'p>, size: [usize; 2], windows: &[Window]) -> Result<Way<'p>> {
        let is_texture = matches!(picture, Picture::Texture(_));
        let wanted = is_texture || self.engine().inner.options.resize_on_device.unwrap_or(true);
        if let Some(context) = self.engine().gpu().filter(|_| wanted)
            && let [own] = self.inner.results.graph.inputs()
            && let sample = input.problem(size, windows)
            && (is_texture || context.takes_windows(&sample))
            && let Some(runner) = self.sampled(own, &input.shape(sample.size)).await?
        {
            let extremes = input.extremes();
            let values = extremes.as_flattened();
            check(self.engine(), &own.name, &[values.len()], values)?;
            return Ok(Way::Device(runner, sample));
        }
        match picture {
            Picture::Memory(image) => Ok(Way::Memory(image)),
            Picture::Texture(_) => {
                let what = "samples pictures in memory, and none that a GPU holds".into();
                Err(Error::Unsupported { adapter: self.engine().adapter().name.clone(), what })
            }
        }
    }

    /// Runs the network on a window of a picture.
    async fn results(&self, input: &Sampling, image: &DynamicImage, window: &Window) -> Result<Results> {
        self.run_named_async(&[(&input.name, &self.given(input, image, window)?)]).await
    }

    /// A window of a picture as the network's input.
    fn given(&self, input: &Sampling, image: &DynamicImage, window: &Window) -> Result<AnyTensor> {
        let data = Values::F32(input.tensor(&Readable::new(image), Picture::Memory(image).size()?, window)?);
        Ok(Tensor { shape: input.shape(window.size).to_vec(), data })
    }

    /// Runs a network of two stages: the first on a picture, the second on the regions that the
    /// first one's results propose, which it also gives. What both compute stays on the device.
    async fn in_stages(&self, proposals: &Proposals, picture: AnyTensor, frame: Frame<'_>) -> Result<(Results, Vec<Corners>)> {
        let (part, limit) = (&self.inner.results, proposals.finder.limit);
        let nothing = Tensor { shape: vec![1, limit, 4], data: Values::F32(vec![0.0; limit * 4]) };
        let tensors = part.graph.inputs().iter().map(|input| match input.name == proposals.input {
            true => (&*input.name, &nothing),
            false => (&*input.name, &picture),
        });
        let given = part.given(self.engine(), &tensors.collect::<Vec<_>>())?;
        let request = Request { shapes: given.shapes.clone(), form: Form::Tensors, normalise: [[0.0; 3]; 2] };
        let (mut runner, _) = part.runner(self.engine(), &request).await?;
        let wrong = |what: String| Error::Model(format!("{}: {what}", self.network().name()));
        let [first, second] = runner.plan.stages(&proposals.input, &proposals.outputs()).map_err(wrong)?;
        let picture = picture.data.to_f32().map_err(wrong)?;
        let results = runner.run_stage(&first, &[&picture]).await?;
        let mut regions = proposals.regions(&results, frame);
        if self.engine().precision().is_f16() {
            // Boxes are against what the second stage is given.
            regions.as_flattened_mut().iter_mut().for_each(|v| *v = half::f16::from_f32(*v).to_f32());
        }
        let mut corners = regions.as_flattened().to_vec();
        corners.resize(limit * 4, 0.0);
        let results = runner.run_stage(&second, &[&corners]).await?;
        part.keep(runner);
        Ok((results, regions))
    }

    fn detector(&self) -> Result<&Detector> {
        self.network().detector().ok_or_else(|| self.other_task("detects nothing: its card is no detector's"))
    }

    fn landmarker(&self) -> Result<&Landmarker> {
        self.network().landmarker().ok_or_else(|| self.other_task("gives no landmarks: its card is not for them"))
    }

    fn other_task(&self, what: &str) -> Error {
        let instead = self.network().card().task.map(|task| format!("; `{}` is for it", task.name()));
        Error::Model(format!("{} {what}{}", self.network().name(), instead.unwrap_or_default()))
    }
}
