//! What a network answers.

use crate::{
    gpu,
    graph::Shape,
    plan::{PlanOutput, Precision, layout::PAD},
    tensor::Tensor,
};
use std::ops::Range;

/// A class and how probable the network finds it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Class {
    /// Its number.
    pub index: usize,
    /// Its name.
    pub label: String,
    /// Its softmax probability, 0 to 1.
    pub probability: f32,
}

/// Which of an image's classes are wanted, of which part of it. A number alone is so many of the
/// best.
///
/// ```
/// use ghostnet::{Engine, EngineOptions, Network, Top, image_input::decode_file};
///
/// let model = Engine::new(EngineOptions::default())?.load(Network::embedded()?)?;
/// let image = decode_file("assets/images/chelsea.png".as_ref())?;
/// let labels = model.network().labels();
/// let pets = ["cat", "dog"].map(|pet| labels.iter().position(|label| label == pet).unwrap());
/// let top = Top::new(5).among(pets).at_least(0.01).part([40, 20, 300, 260]);
/// let pets = model.classify(&image, top)?;
/// assert!(pets[0].label == "cat" && pets.len() <= 2);
/// # Ok::<(), ghostnet::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Top {
    /// At most so many.
    pub count: usize,
    /// None that is less probable, 0 to 1.
    pub at_least: f32,
    /// None but these, by number; `None`: any. Probabilities stay those among all classes.
    pub among: Option<Vec<usize>>,
    /// The part of the image that is looked at: first column, first row, width and height, in
    /// pixels. `None`: all of it.
    pub part: Option<[u32; 4]>,
}

impl Top {
    /// The `count` most probable classes.
    pub fn new(count: usize) -> Self {
        Self { count, at_least: 0.0, among: None, part: None }
    }

    /// Sets [`Top::at_least`].
    pub fn at_least(self, at_least: f32) -> Self {
        Self { at_least, ..self }
    }

    /// Sets [`Top::among`].
    pub fn among(self, among: impl IntoIterator<Item = usize>) -> Self {
        Self { among: Some(among.into_iter().collect()), ..self }
    }

    /// Sets [`Top::part`].
    pub fn part(self, part: impl Into<Option<[u32; 4]>>) -> Self {
        Self { part: part.into(), ..self }
    }

    /// How many of the best have to be known.
    pub(super) fn needed(&self) -> usize {
        if self.among.is_some() { usize::MAX } else { self.count }
    }

    /// Those that are wanted, of an image's best.
    pub(super) fn of(&self, mut classes: Vec<Class>) -> Vec<Class> {
        let is_wanted = |class: &Class| self.among.as_ref().is_none_or(|among| among.contains(&class.index));
        classes.retain(|class| class.probability >= self.at_least && is_wanted(class));
        classes.truncate(self.count.max(1));
        classes
    }
}

impl From<usize> for Top {
    fn from(count: usize) -> Self {
        Self::new(count)
    }
}

/// A result that stayed on the device.
///
/// A `[n, c, h, w]` tensor lies in it in blocks of four channels, `[n][blocks][h * w][4]`, as f32
/// or, with [`Precision::F16`], as halves. Lane `l` of the blocks holds the channel `lanes[l]`, and
/// nothing where that is `None`. The image `i` begins at the value `offset + i * stride`. So the
/// logits of one image are its classes in order, unless `lanes` says otherwise.
#[derive(Debug, Clone)]
pub struct OnDevice {
    /// The result's name.
    pub name: String,
    /// `[n, c, h, w]`.
    pub shape: [usize; 4],
    /// What holds it: of usages `STORAGE`, `COPY_SRC` and `COPY_DST`.
    pub buffer: gpu::Buffer,
    /// How its values are stored.
    pub precision: Precision,
    /// The channel in each lane.
    pub lanes: Vec<Option<usize>>,
    /// Where the first image begins, in values.
    pub offset: usize,
    /// Values from one image to the next.
    pub stride: usize,
}

impl OnDevice {
    pub(super) fn new(output: &PlanOutput, precision: Precision, buffer: gpu::Buffer) -> Self {
        let Shape { n, c, h, w } = output.shape;
        Self {
            name: output.name.clone(),
            shape: [n, c, h, w],
            buffer,
            precision,
            lanes: output.layout.lanes().iter().map(|&lane| (lane != PAD).then_some(lane as usize)).collect(),
            offset: output.place.offset as usize * 4,
            stride: output.place.stride as usize * 4,
        }
    }
}

/// One of a network's feature maps.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    /// The module whose output it is, as timm's `feature_info` names it.
    pub name: String,
    /// Input pixels per pixel of the map.
    pub reduction: usize,
    /// `[n, c, h, w]`.
    pub tensor: Tensor,
}

/// What a ghost module made.
#[derive(Debug, Clone, PartialEq)]
pub struct GhostMaps {
    /// The maps of the primary convolution: `[n, m, h, w]`.
    pub intrinsic: Tensor,
    /// The maps that the cheap operation derives from them: `[n, c_out - m, h, w]`.
    pub ghost: Tensor,
}

impl GhostMaps {
    /// Of a module's maps, of which the first `intrinsic` channels are the primary convolution's.
    pub(super) fn of(maps: &Tensor, intrinsic: usize) -> Self {
        let [n, c, h, w] = maps.shape[..] else { unreachable!("maps are [n, c, h, w]") };
        let channels = |range: Range<usize>| {
            let image = |n: usize| &maps.data[(n * c + range.start) * h * w..(n * c + range.end) * h * w];
            Tensor { shape: vec![n, range.len(), h, w], data: (0..n).flat_map(image).copied().collect() }
        };
        Self { intrinsic: channels(0..intrinsic), ghost: channels(intrinsic..c) }
    }
}
