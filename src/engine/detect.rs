//! Pictures to detections and landmarks.

use super::model::Model;
use crate::{
    Error, Result,
    detect::{DetectOptions, Detection, Detector, Landmarker},
    image_input::{
        Readable,
        sample::{Sampling, Window},
    },
    kernels::resize::Rows,
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
        self.detect_rows_async(&Readable::new(image), size(image), options).await
    }

    /// As [`Model::detect_async`], of several pictures.
    pub async fn detect_batch_async(&self, images: &[DynamicImage], options: &DetectOptions) -> Result<Vec<Vec<Detection>>> {
        let mut all = Vec::with_capacity(images.len());
        for image in images {
            all.push(self.detect_async(image, options).await?);
        }
        Ok(all)
    }

    /// As [`Model::detect_async`], of a picture of `picture` rows and columns in memory.
    pub(crate) async fn detect_rows_async(
        &self,
        pixels: &dyn Rows,
        picture: [usize; 2],
        options: &DetectOptions,
    ) -> Result<Vec<Detection>> {
        let detector = self.detector()?;
        let wrong = |what: String| Error::Model(format!("{}: {what}", self.network().name()));
        let only = self.only(options)?;
        let wanted = detector.wanted(options, &only).map_err(wrong)?;
        let window = detector.input.fit.window(picture);
        if detector.input.fit.size().is_none() {
            detector.check(self.network().graph(), window.size).map_err(wrong)?;
        }
        let results = self.results(&detector.input, pixels, picture, &window).await?;
        let [h, w] = picture.map(|side| side as f32);
        Ok(detector.detections(&results, &window, [w, h], &wanted, &|class| self.network().label(class)))
    }

    /// The points of each of the things that a detector found in the picture, in its pixels, x and
    /// y: a network whose [`Card`](crate::Card) is for landmarks.
    ///
    /// Errors: [`Error::Model`] for a network that gives none.
    pub async fn landmarks_async(&self, image: &DynamicImage, found: &[Detection]) -> Result<Vec<Vec<[f32; 2]>>> {
        let boxes: Vec<[f32; 4]> = found.iter().map(|detection| detection.corners).collect();
        self.landmarks_rows_async(&Readable::new(image), size(image), &boxes).await
    }

    /// As [`Model::landmarks_async`], of boxes in a picture of `picture` rows and columns in memory.
    pub(crate) async fn landmarks_rows_async(
        &self,
        pixels: &dyn Rows,
        picture: [usize; 2],
        boxes: &[[f32; 4]],
    ) -> Result<Vec<Vec<[f32; 2]>>> {
        let landmarker = self.landmarker()?;
        let size = landmarker.input.fit.size().expect("a region has a size");
        let mut all = Vec::with_capacity(boxes.len());
        for &corners in boxes {
            let window = landmarker.window(corners, size);
            let results = self.results(&landmarker.input, pixels, picture, &window).await?;
            all.push(landmarker.points(&results, &window));
        }
        Ok(all)
    }

    /// Runs the network on a window of a picture.
    async fn results(&self, input: &Sampling, pixels: &dyn Rows, picture: [usize; 2], window: &Window) -> Result<Vec<(String, AnyTensor)>> {
        let data = Values::F32(input.tensor(pixels, picture, window)?);
        let tensor = Tensor { shape: input.shape(window.size).to_vec(), data };
        self.run_named_async(&[(&input.name, &tensor)]).await
    }

    fn detector(&self) -> Result<&Detector> {
        let card = self.network().card();
        card.detector.as_deref().ok_or_else(|| self.other_task("detects nothing: its card is no detector's"))
    }

    fn landmarker(&self) -> Result<&Landmarker> {
        let card = self.network().card();
        card.landmarker.as_deref().ok_or_else(|| self.other_task("gives no landmarks: its card is not for them"))
    }

    fn other_task(&self, what: &str) -> Error {
        let instead = self.network().card().task.map(|task| format!("; `{}` is for it", task.name()));
        Error::Model(format!("{} {what}{}", self.network().name(), instead.unwrap_or_default()))
    }

    /// Of each class whether it is wanted.
    fn only(&self, options: &DetectOptions) -> Result<Vec<bool>> {
        let Some(wanted) = &options.labels else { return Ok(Vec::new()) };
        let labels = self.network().labels();
        match wanted.iter().find(|label| !labels.contains(label)) {
            Some(unknown) => Err(Error::Model(format!("{} knows no `{unknown}`; it has {} labels", self.network().name(), labels.len()))),
            None => Ok(labels.iter().map(|label| wanted.contains(label)).collect()),
        }
    }
}
