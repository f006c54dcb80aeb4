//! Pictures to detections and landmarks.

use super::{
    model::Model,
    part::{Request, Runner, check, result, slots},
};
use crate::{
    Error, Result,
    detect::{Corners, DetectOptions, Detection, Detector, Landmarker, Proposals},
    gpu,
    image_input::{
        Readable,
        sample::{Sampling, Window},
    },
    plan::{Plan, Stage},
    tensor::{AnyTensor, Tensor, Values},
};
use image::DynamicImage;

/// A network's results by name.
pub(super) type Results = Vec<(String, AnyTensor)>;

/// Windows that are sampled in one submission: each has its share of the buffers that go up and
/// come back.
const MOST_WINDOWS: usize = 64;

/// Where a picture is.
#[derive(Clone, Copy)]
pub(super) enum Picture<'a> {
    Memory(&'a Readable<'a>),
    Texture(&'a gpu::Texture),
}

/// Who samples it, for which plan.
pub(super) enum Way<'a> {
    /// The plan's device, as [`Kept::sample`](super::part::Kept::sample) says.
    Device(Runner),
    /// The CPU, an image in memory.
    Memory(Runner, &'a Readable<'a>),
}

impl<'a> Picture<'a> {
    /// What the device samples.
    pub(super) fn source(self) -> gpu::Source<'a> {
        match self {
            Self::Texture(texture) => gpu::Source::OnDevice(texture, [0, 0]),
            Self::Memory(readable) => gpu::Source::Buffer(readable),
        }
    }

    /// Rows and columns.
    pub(super) fn size(self) -> Result<[usize; 2]> {
        let [h, w] = match self {
            Self::Memory(readable) => readable.size(),
            Self::Texture(texture) => [texture.height(), texture.width()].map(|side| side as usize),
        };
        if h == 0 || w == 0 {
            return Err(Error::shape("image", format!("{w} x {h} has no pixels")));
        }
        Ok([h, w])
    }
}

/// Where a plan has the results of these names.
pub(super) fn places(plan: &Plan, names: &[&str]) -> Vec<usize> {
    names.iter().filter_map(|name| plan.outputs.iter().position(|output| output.name == *name)).collect()
}

/// Results by name, of these places among a plan's, as a GPU gave them.
fn results(plan: &Plan, outputs: &[usize], given: Vec<Vec<u8>>) -> Results {
    let slots = slots(plan, given);
    outputs.iter().zip(&slots).map(|(&at, slot)| result(&plan.outputs[at], slot, 1)).collect()
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
        self.detect_in(Picture::Memory(&Readable::new(image)), options).await
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
    /// Errors: as of [`Model::detect_async`], and [`Error::Model`] for a network of two stages,
    /// whose pictures the CPU samples. [`Error::Unsupported`] on the CPU. [`Error::Shape`] for a
    /// format other than `Rgba8Unorm`, `Bgra8Unorm` and their sRGB forms, and a texture without
    /// `COPY_SRC`. [`Error::Gpu`] for one of another device; of another instance, wgpu itself
    /// panics.
    pub async fn detect_texture_async(&self, texture: &gpu::Texture, options: &DetectOptions) -> Result<Vec<Detection>> {
        gpu::check_texture(texture, [0, 0, texture.width(), texture.height()])?;
        self.detect_in(Picture::Texture(texture), options).await
    }

    /// The points of each of the things that a detector found in the picture, in its pixels, x and
    /// y: a network whose [`Card`](crate::Card) is for landmarks. A thing has none where the
    /// network gives what is no number.
    ///
    /// Errors: [`Error::Model`] for a network that gives none. [`Error::Shape`] for a picture
    /// without pixels. [`Error::Limit`] and [`Error::OutOfMemory`] for one that is too large.
    pub async fn landmarks_async(&self, image: &DynamicImage, found: &[Detection]) -> Result<Vec<Vec<[f32; 2]>>> {
        self.landmarks_in(Picture::Memory(&Readable::new(image)), found).await
    }

    /// As [`Model::landmarks_async`], of a texture as [`Model::detect_texture_async`] takes it.
    pub async fn landmarks_texture_async(&self, texture: &gpu::Texture, found: &[Detection]) -> Result<Vec<Vec<[f32; 2]>>> {
        gpu::check_texture(texture, [0, 0, texture.width(), texture.height()])?;
        self.landmarks_in(Picture::Texture(texture), found).await
    }

    async fn detect_in(&self, picture: Picture<'_>, options: &DetectOptions) -> Result<Vec<Detection>> {
        let size = picture.size()?;
        let detector = self.detector()?;
        let wrong = |what: String| self.wrong(what);
        let only = self.network().card().only(options).map_err(wrong)?;
        let wanted = detector.wanted(options, &only).map_err(wrong)?;
        if let (Picture::Texture(_), Some(_)) = (picture, &detector.proposals) {
            return Err(wrong("the CPU samples the pictures of its two stages, and none that a GPU holds".into()));
        }
        let window = self.window(detector, size)?;
        let shown = [size[1] as f32, size[0] as f32];
        let label = |class| self.network().label(class);
        let of_results = |results: &[(String, AnyTensor)], regions: Option<&[Corners]>| {
            detector.detections(results, regions, &window, shown, &wanted, &label)
        };
        if let Some(proposals) = &detector.proposals {
            let Picture::Memory(readable) = picture else { unreachable!("refused above") };
            let given = self.given(&detector.input, readable, &window)?;
            let (runner, second, proposed) = self.first_stage(proposals, &given).await?;
            let regions = proposals.regions(&proposed, detector.frame(&window, shown));
            let (results, regions) = self.second_stage(proposals, runner, &second, regions).await?;
            return Ok(of_results(&results, Some(&regions)));
        }
        let (runner, found) = match self.way(&detector.input, picture, size, &[window]).await? {
            Way::Memory(mut runner, readable) => {
                let outputs = places(&runner.plan, &detector.outputs());
                detector.input.sample(readable, size, &window, &mut runner.kept.input)?;
                runner.run_kept(&outputs).await?;
                let found = of_results(&runner.kept.results, None);
                (runner, found)
            }
            Way::Device(mut runner) => {
                let plan = runner.plan.clone();
                let (prepared, windows) = runner.windows(picture.source());
                let records = prepared.detect(&windows, |results| detector.problem(results, window.size), wanted.threshold).await?;
                let found = match records {
                    Some(records) => detector.detections_of_records(&records, &window, shown, &wanted, &label),
                    // More than the device has room for: then all of what is read.
                    None => {
                        let outputs = places(&plan, &detector.outputs());
                        of_results(&results(&plan, &outputs, prepared.results(&outputs).await?), None)
                    }
                };
                (runner, found)
            }
        };
        self.inner.results.keep(runner);
        Ok(found)
    }

    async fn landmarks_in(&self, picture: Picture<'_>, found: &[Detection]) -> Result<Vec<Vec<[f32; 2]>>> {
        let landmarker = self.landmarker()?;
        let size = landmarker.input.fit.size().expect("a region has a size");
        let picture_size = picture.size()?;
        let windows: Vec<Window> = found.iter().map(|found| landmarker.window(found.corners, size)).collect();
        let mut all = Vec::with_capacity(found.len());
        for windows in windows.chunks(MOST_WINDOWS) {
            let runner = match self.way(&landmarker.input, picture, picture_size, windows).await? {
                Way::Memory(mut runner, readable) => {
                    let outputs = places(&runner.plan, &landmarker.outputs());
                    for window in windows {
                        landmarker.input.sample(readable, picture_size, window, &mut runner.kept.input)?;
                        runner.run_kept(&outputs).await?;
                        all.push(landmarker.points(&runner.kept.results, window));
                    }
                    runner
                }
                Way::Device(mut runner) => {
                    let outputs = places(&runner.plan, &landmarker.outputs());
                    let (prepared, sampled) = runner.windows(picture.source());
                    let mut given = prepared.submit_windows(&sampled, &outputs).await?.wait().await?.into_iter();
                    for window in windows {
                        let of_window = given.by_ref().take(outputs.len()).collect();
                        all.push(landmarker.points(&results(&runner.plan, &outputs, of_window), window));
                    }
                    runner
                }
            };
            self.inner.results.keep(runner);
        }
        Ok(all)
    }

    /// Who samples windows of a picture of `size`, rows and columns.
    pub(super) async fn way<'p>(&self, input: &Sampling, picture: Picture<'p>, size: [usize; 2], windows: &[Window]) -> Result<Way<'p>> {
        let [own] = self.inner.results.graph.inputs() else { unreachable!("the card was checked") };
        let given = input.shape(windows.first().map_or([0; 2], |window| window.size));
        let shape = own.tensor.shape_of(&given).map_err(|what| Error::shape(&own.name, what))?;
        // All else is between these.
        check(self.engine(), &own.name, &[9], input.extremes().as_flattened())?;
        let request = Request::of_tensors(vec![shape]);
        let (mut runner, _) = self.inner.results.runner(self.engine(), &request).await?;
        let wanted = self.engine().inner.options.resize_on_device.unwrap_or(true);
        let is_texture = matches!(picture, Picture::Texture(_));
        if let Some(context) = self.engine().gpu().filter(|_| is_texture || wanted) {
            let is_same = |(of, sampled, _): &(_, Vec<Window>, _)| *of == size && sampled == windows;
            if !runner.kept.sample.as_ref().is_some_and(is_same) {
                runner.kept.sample = Some((size, windows.to_vec(), input.problem(size, windows)));
            }
            if let Some((.., sample)) = &runner.kept.sample
                && (is_texture || context.takes_windows(sample))
                && sample.fits(&runner.plan.inputs[0])
            {
                return Ok(Way::Device(runner));
            }
        }
        match picture {
            Picture::Memory(readable) => Ok(Way::Memory(runner, readable)),
            Picture::Texture(_) => {
                self.inner.results.keep(runner);
                let what = "samples pictures in memory, and none that a GPU holds".into();
                Err(Error::Unsupported { adapter: self.engine().adapter().name.clone(), what })
            }
        }
    }

    /// A window of a picture as the network's input.
    pub(super) fn given(&self, input: &Sampling, readable: &Readable<'_>, window: &Window) -> Result<AnyTensor> {
        let data = Values::F32(input.tensor(readable, readable.size(), window)?);
        Ok(Tensor { shape: input.shape(window.size).to_vec(), data })
    }

    /// What the input shows of a picture of `size`, rows and columns.
    ///
    /// Errors: [`Error::Model`] where the network takes no such input.
    pub(super) fn window(&self, detector: &Detector, size: [usize; 2]) -> Result<Window> {
        let window = detector.input.fit.window(size);
        if detector.input.fit.size().is_none() {
            let checked = detector.check_graph(self.network().graph(), window.size, self.network().labels().len());
            checked.map_err(|what| self.wrong(what))?;
        }
        Ok(window)
    }

    /// Runs the first stage of a network of two. Gives the runner, on whose device stays what both
    /// stages compute, the second stage and the first one's results.
    pub(super) async fn first_stage(&self, proposals: &Proposals, picture: &AnyTensor) -> Result<(Runner, Stage, Results)> {
        let (part, limit) = (&self.inner.results, proposals.finder.limit);
        let nothing = Tensor { shape: vec![1, limit, 4], data: Values::F32(vec![0.0; limit * 4]) };
        let tensors = part.graph.inputs().iter().map(|input| match input.name == proposals.input {
            true => (&*input.name, &nothing),
            false => (&*input.name, picture),
        });
        let shapes = part.given(self.engine(), &tensors.collect::<Vec<_>>())?.shapes;
        let request = Request::of_tensors(shapes);
        let (mut runner, _) = part.runner(self.engine(), &request).await?;
        let wrong = |what: String| self.wrong(what);
        let [first, second] = runner.plan.stages(&proposals.input, &proposals.finder.outputs()).map_err(wrong)?;
        let results = runner.run_stage(&first, &[&picture.data.to_f32().map_err(wrong)?]).await?;
        Ok((runner, second, results))
    }

    /// Runs the second stage behind the first one, on regions that it also gives: as the network
    /// saw them. The runner is kept.
    pub(super) async fn second_stage(
        &self,
        proposals: &Proposals,
        mut runner: Runner,
        stage: &Stage,
        mut regions: Vec<Corners>,
    ) -> Result<(Results, Vec<Corners>)> {
        if self.engine().precision().is_f16() {
            // Boxes are against what the second stage is given.
            regions.as_flattened_mut().iter_mut().for_each(|v| *v = half::f16::from_f32(*v).to_f32());
        }
        let mut corners = regions.as_flattened().to_vec();
        corners.resize(proposals.finder.limit * 4, 0.0);
        let results = runner.run_stage(stage, &[&corners]).await?;
        self.inner.results.keep(runner);
        Ok((results, regions))
    }

    /// What does not fit the network, which the error names.
    fn wrong(&self, what: String) -> Error {
        Error::Model(format!("{}: {what}", self.network().name()))
    }

    pub(super) fn detector(&self) -> Result<&Detector> {
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
