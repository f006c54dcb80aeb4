//! Pictures to detections and landmarks.

use super::model::Model;
use crate::{
    Error, Result,
    detect::{DetectOptions, Detection, Detector, Landmarker},
    image_input::{
        Readable,
        sample::{Sampling, Window},
    },
    tensor::{AnyTensor, Tensor, Values},
};
use image::DynamicImage;

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
        let results = self.results(&detector.input, image, &window).await?;
        let [h, w] = picture.map(|side| side as f32);
        Ok(detector.detections(&results, &window, [w, h], &wanted, &|class| self.network().label(class)))
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
    async fn results(&self, input: &Sampling, image: &DynamicImage, window: &Window) -> Result<Vec<(String, AnyTensor)>> {
        let data = Values::F32(input.tensor(&Readable::new(image), size(image), window)?);
        let tensor = Tensor { shape: input.shape(window.size).to_vec(), data };
        self.run_named_async(&[(&input.name, &tensor)]).await
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
