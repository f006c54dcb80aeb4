//! Pictures to detections and landmarks.

use super::{model::Model, part::Request};
use crate::{
    Error, Result,
    detect::{Corners, DetectOptions, Detection, Detector, Frame, Landmarker, Proposals},
    image_input::{
        Readable,
        sample::{Sampling, Window},
    },
    plan::Form,
    tensor::{AnyTensor, Tensor, Values},
};
use image::DynamicImage;

/// A network's results by name.
type Results = Vec<(String, AnyTensor)>;

/// Rows and columns.
fn size(image: &DynamicImage) -> [usize; 2] {
    [image.height() as usize, image.width() as usize]
}

impl Model {
    /// What the network finds in a picture, best first: a network whose [`Card`](crate::Card) is a
    /// detector's. The calling thread samples the picture.
    ///
    /// Errors: [`Error::Model`] for a network that detects nothing, an option out of its range, and
    /// a class that the card does not know. [`Error::Shape`] for a picture whose size the network
    /// does not take.
    pub async fn detect_async(&self, image: &DynamicImage, options: &DetectOptions) -> Result<Vec<Detection>> {
        let picture = size(image);
        let detector = self.detector()?;
        let wrong = |what: String| Error::Model(format!("{}: {what}", self.network().name()));
        let only = self.network().card().only(options).map_err(wrong)?;
        let wanted = detector.wanted(options, &only).map_err(wrong)?;
        let window = detector.input.fit.window(picture);
        if detector.input.fit.size().is_none() {
            detector.check_graph(self.network().graph(), window.size, self.network().labels().len()).map_err(wrong)?;
        }
        let [h, w] = picture.map(|side| side as f32);
        let (results, regions) = match &detector.proposals {
            None => (self.results(&detector.input, image, &window).await?, None),
            Some(proposals) => {
                let given = self.given(&detector.input, image, &window)?;
                let (results, regions) = self.in_stages(proposals, given, detector.frame(&window, [w, h])).await?;
                (results, Some(regions))
            }
        };
        Ok(detector.detections(&results, regions.as_deref(), &window, [w, h], &wanted, &|class| self.network().label(class)))
    }

    /// As [`Model::detect_async`], of several pictures.
    pub async fn detect_batch_async(&self, images: &[DynamicImage], options: &DetectOptions) -> Result<Vec<Vec<Detection>>> {
        let mut all = Vec::with_capacity(images.len());
        for image in images {
            all.push(self.detect_async(image, options).await?);
        }
        Ok(all)
    }

    /// The points of each of the things that a detector found in the picture, in its pixels, x and
    /// y: a network whose [`Card`](crate::Card) is for landmarks.
    ///
    /// Errors: [`Error::Model`] for a network that gives none.
    pub async fn landmarks_async(&self, image: &DynamicImage, found: &[Detection]) -> Result<Vec<Vec<[f32; 2]>>> {
        let landmarker = self.landmarker()?;
        let size = landmarker.input.fit.size().expect("a region has a size");
        let mut all = Vec::with_capacity(found.len());
        for Detection { corners, .. } in found {
            let window = landmarker.window(*corners, size);
            let results = self.results(&landmarker.input, image, &window).await?;
            all.push(landmarker.points(&results, &window));
        }
        Ok(all)
    }

    /// Runs the network on a window of a picture.
    async fn results(&self, input: &Sampling, image: &DynamicImage, window: &Window) -> Result<Results> {
        self.run_named_async(&[(&input.name, &self.given(input, image, window)?)]).await
    }

    /// A window of a picture as the network's input.
    fn given(&self, input: &Sampling, image: &DynamicImage, window: &Window) -> Result<AnyTensor> {
        let data = Values::F32(input.tensor(&Readable::new(image), size(image), window)?);
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
        let regions = proposals.regions(&results, frame);
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
