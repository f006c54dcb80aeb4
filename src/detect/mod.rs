//! Detectors and networks for landmarks: what a card says of how a picture becomes the input and
//! what the results mean, and one interpreter of it. No network's name stands here.
//!
//! A detector gives a row of values for each *candidate*: a place of a grid and a size, its
//! *prior*, against which the row says where a box lies, and how much it looks like each class.
//! [`decode`] keeps the candidates above a threshold, and [`suppress`] one of those that overlap.
//!
//! Coordinates are x and y in pixels, from the upper left edge: of the input in here, of the
//! picture in what callers get. A box is `[x1, y1, x2, y2]`.

mod card;
pub(crate) mod decode;
mod landmarks;
#[cfg(not(target_arch = "wasm32"))]
mod network;
mod priors;
#[cfg(any(not(target_arch = "wasm32"), feature = "web_detect"))]
mod records;
#[cfg(not(target_arch = "wasm32"))]
mod select;
mod suppress;
#[cfg(test)]
mod tests;
mod values;
#[cfg(not(target_arch = "wasm32"))]
mod words;

pub(crate) use card::{FIELDS, decoder};
pub use landmarks::Landmarker;

use crate::image_input::sample::Sampling;
use priors::Priors;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use select::{Budget, Select};
pub(crate) use suppress::Suppress;
use values::Joined;

/// A box.
pub(crate) type Corners = [f32; 4];

/// How a detector's results become detections, as its card says it.
#[derive(Debug, Clone, PartialEq)]
pub struct Detector {
    pub(crate) input: Sampling,
    point_names: Vec<String>,
    threshold: f32,
    pub(crate) suppress: Suppress,
    pub(crate) limit: usize,
    priors: Option<Priors>,
    score: Score,
    boxes: Boxes,
    points: Option<Points>,
    /// What its priors are, where the network's second stage has results for regions that those of
    /// the first one propose.
    pub(crate) proposals: Option<Proposals>,
}

/// How results of a network's first stage become regions, which its second stage takes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Proposals {
    /// The input that takes them, `[1, limit, 4]`.
    pub input: String,
    /// What finds them: of one class, and whatever their score.
    pub finder: Box<Detector>,
}

/// Either of the two.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Finder {
    Detector(Box<Detector>),
    Landmarker(Landmarker),
}

/// How a candidate's scores come about.
#[derive(Debug, Clone, PartialEq)]
struct Score {
    classes: Joined,
    activation: Activation,
    /// The first class is none.
    skip_first: bool,
    objectness: Option<Joined>,
    /// Exponents of the class's score and of the objectness.
    powers: [f32; 2],
    /// Every class above the threshold is a candidate of its own, not the best alone.
    each: bool,
    /// Candidates of a level that go on, the best.
    per_level: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Activation {
    None,
    /// Of a value bounded by this to both sides.
    Sigmoid(f32),
    Softmax,
}

/// Where a candidate's box is.
#[derive(Debug, Clone, PartialEq)]
struct Boxes {
    values: Joined,
    form: Form,
    /// A row has a box for each class.
    per_class: bool,
    /// Boxes with a shorter side, once they are bounded, are none.
    least: f32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    /// How far its four sides are from the prior's centre, in strides: each the mean of the numbers
    /// from 0 on, with the softmax of so many values.
    Distances { bins: usize },
    /// Its centre and size, against the prior's.
    Center { tanh: bool, size: Size, of_input: bool, scale: [f32; 2], max: f32 },
    /// Its corners: in pixels, or in shares of the input.
    Corners { of_input: bool },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Size {
    Exp,
    Linear,
    Sigmoid,
}

/// Points of a candidate, against its prior.
#[derive(Debug, Clone, PartialEq)]
struct Points {
    values: Joined,
    count: usize,
    scale: f32,
}

/// Something that was found in a picture.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Detection {
    /// Its class's name.
    pub label: String,
    /// Its class's number.
    pub index: usize,
    /// How sure the network is, 0 to 1.
    pub score: f32,
    /// Its box, `[x1, y1, x2, y2]`, in pixels of the picture as shown, from its upper left edge.
    pub corners: [f32; 4],
    /// Points that the detector gives, such as eyes, x and y as in `corners`. The card's
    /// `point_names` says which.
    pub points: Vec<[f32; 2]>,
}

impl Detection {
    /// Something that another program found, whose box is `corners`: for landmarks in it. It has no
    /// name, class 0 and a score of 1.
    pub fn at(corners: [f32; 4]) -> Self {
        Self { label: String::new(), index: 0, score: 1.0, corners, points: Vec::new() }
    }
}

/// Which detections are wanted. What is `None` is as the detector's card says.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct DetectOptions {
    /// None with a score up to this, 0 to 1.
    pub threshold: Option<f32>,
    /// Of two that overlap by more than this the better one stays, 0 to 1: the intersection's area
    /// as a share of the union's.
    pub iou: Option<f32>,
    /// At most so many, the best.
    pub limit: Option<usize>,
    /// None but of these classes.
    pub labels: Option<Vec<String>>,
}

impl DetectOptions {
    /// Sets [`DetectOptions::threshold`].
    pub fn threshold(self, threshold: impl Into<Option<f32>>) -> Self {
        Self { threshold: threshold.into(), ..self }
    }

    /// Sets [`DetectOptions::iou`].
    pub fn iou(self, iou: impl Into<Option<f32>>) -> Self {
        Self { iou: iou.into(), ..self }
    }

    /// Sets [`DetectOptions::limit`].
    pub fn limit(self, limit: impl Into<Option<usize>>) -> Self {
        Self { limit: limit.into(), ..self }
    }

    /// Sets [`DetectOptions::labels`].
    pub fn labels(self, labels: impl Into<Option<Vec<String>>>) -> Self {
        Self { labels: labels.into(), ..self }
    }
}

/// What candidates are of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    /// The input's rows and columns.
    pub size: [usize; 2],
    /// Width and height of what of the input is picture: no box reaches beyond.
    pub bounds: [f32; 2],
    /// The second stage's regions.
    pub regions: Option<&'a [Corners]>,
}

/// The numbers that the options and the card give.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub threshold: f32,
    iou: f32,
    limit: usize,
    /// Whether a class is wanted, by its number; empty: all are.
    only: &'a [bool],
}

impl Wanted<'_> {
    /// Whether it is above the threshold, which what is no number is not, and of a wanted class.
    fn takes(&self, class: usize, score: f32) -> bool {
        score > self.threshold && score.is_finite() && self.only.get(class).is_none_or(|is_wanted| *is_wanted)
    }
}

impl Detector {
    /// Names of the points of a detection, in their order; empty where nobody named them.
    pub fn point_names(&self) -> &[String] {
        &self.point_names
    }

    /// The card's threshold: scores above it are detections.
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// What the options leave open, by the card; the error names the option. `only` says of each
    /// class whether it is wanted; empty: all are.
    pub(crate) fn wanted<'a>(&self, options: &DetectOptions, only: &'a [bool]) -> Result<Wanted<'a>, String> {
        let share = |name: &str, given: Option<f32>, own: f32| match given {
            Some(share) if !(0.0..=1.0).contains(&share) => {
                Err(format!("{name} is {}, not from 0 to 1", crate::text::decimal(share.into())))
            }
            share => Ok(share.unwrap_or(own)),
        };
        Ok(Wanted {
            threshold: share("threshold", options.threshold, self.threshold)?,
            iou: share("iou", options.iou, self.suppress.iou)?,
            limit: options.limit.unwrap_or(self.limit),
            only,
        })
    }
}
