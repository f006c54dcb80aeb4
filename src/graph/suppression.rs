//! Non-maximum suppression as a network's last step: of tensors that a run gave, on the CPU.

use super::{Element, Graph, Output, TensorType};
use crate::{Error, Result, text::decimal};
use std::fmt;

/// ONNX's `NonMaxSuppression`, which the thread that waits for a run computes of tensors that it
/// gave. How many boxes are kept is known only then, so no node reads its result,
/// `selected_indices`.
///
/// That is `[kept, 3]`: image, class and box. Images come in their order, in each the classes, and
/// of a class the boxes by falling score; of equal scores the earlier box comes first.
#[derive(Debug, Clone, PartialEq)]
pub struct NonMaxSuppression {
    /// The result's name.
    pub name: String,
    /// The type of the result's values; not [`Element::Bool`].
    pub element: Element,
    /// `[n, boxes, 4]`: y and x of two opposite corners, or as [`Self::is_centered`] says.
    pub boxes: Output,
    /// `[n, classes, boxes]`.
    pub scores: Output,
    /// Whether a box is x and y of its centre, its width and its height.
    pub is_centered: bool,
    /// At most so many boxes of an image and class are kept; none of a number below 1.
    pub most: Setting,
    /// A box goes if it overlaps a kept one by a larger intersection over union, 0 to 1.
    pub iou: Setting,
    /// Only boxes of a larger score are kept; `None`: of any.
    pub score: Option<Setting>,
}

/// A number that a last step goes by.
#[derive(Debug, Clone, PartialEq)]
pub enum Setting {
    /// It is known.
    Constant(f32),
    /// The one value of a tensor that a run gives.
    Output(Output),
}

/// What a suppression goes by, once all of it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limits {
    pub most: usize,
    pub iou: f32,
    pub score: Option<f32>,
}

impl Setting {
    fn output(&self) -> Option<&Output> {
        if let Self::Output(output) = self { Some(output) } else { None }
    }

    fn output_mut(&mut self) -> Option<&mut Output> {
        if let Self::Output(output) = self { Some(output) } else { None }
    }

    fn value(&self, given: &mut dyn FnMut() -> f32) -> f32 {
        if let Self::Constant(value) = self { *value } else { given() }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(value) => f.write_str(&decimal((*value).into())),
            Self::Output(output) => write!(f, "`{}`", output.name),
        }
    }
}

impl NonMaxSuppression {
    /// What the result looks like: rows of three, however many.
    pub fn tensor(&self) -> TensorType {
        TensorType::new(self.element, ["c", "c=3"]).expect("one of the sides is open")
    }

    /// What a run has to give, in the order in which it does.
    pub(crate) fn operands(&self) -> impl Iterator<Item = &Output> {
        let settings = [Some(&self.most), Some(&self.iou), self.score.as_ref()];
        [&self.boxes, &self.scores].into_iter().chain(settings.into_iter().flatten().filter_map(Setting::output))
    }

    pub(super) fn operands_mut(&mut self) -> impl Iterator<Item = &mut Output> {
        let settings = [Some(&mut self.most), Some(&mut self.iou), self.score.as_mut()];
        [&mut self.boxes, &mut self.scores].into_iter().chain(settings.into_iter().flatten().filter_map(Setting::output_mut))
    }

    /// What it goes by, with the numbers that a run gave, in their order. The error says which
    /// cannot be.
    pub(crate) fn limits(&self, mut given: impl FnMut() -> f32) -> Result<Limits, String> {
        let [most, iou] = [&self.most, &self.iou].map(|setting| setting.value(&mut given));
        let score = self.score.as_ref().map(|setting| setting.value(&mut given));
        if let Some((name, value)) = [("max_output_boxes_per_class", Some(most)), ("score_threshold", score)]
            .into_iter()
            .find_map(|(name, value)| value.filter(|value| !value.is_finite()).map(|value| (name, value)))
        {
            return Err(format!("{name} is {}", decimal(value.into())));
        }
        if !(0.0..=1.0).contains(&iou) {
            return Err(format!("iou_threshold is {}, 0 to 1 is possible", decimal(iou.into())));
        }
        Ok(Limits { most: most as usize, iou, score })
    }

    /// Whether it can be computed, as far as that is known before a run. The error is one line.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.element == Element::Bool {
            return Err("indices of boxes are no truth values".into());
        }
        self.limits(|| 0.0).map(|_| ())
    }
}

impl fmt::Display for NonMaxSuppression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NonMaxSuppression of at most {} boxes of a class, IoU at most {}", self.most, self.iou)?;
        self.score.iter().try_for_each(|score| write!(f, ", scores above {score}"))
    }
}

impl Graph {
    /// Adds a last step, whose result comes behind the other results. What it takes need not be
    /// results itself.
    ///
    /// # Errors
    /// [`Error::Shape`] for an IoU that is not 0 to 1, another number that is not finite, and a
    /// result of truth values. A node that the graph has not is an error where the graph is used,
    /// and so are tensors of other shapes when they are there.
    pub fn add_suppression(&mut self, last: NonMaxSuppression) -> Result<()> {
        last.check().map_err(|what| Error::shape(&last.name, what))?;
        self.suppressions.push(last);
        Ok(())
    }

    /// The last steps, in their order.
    pub fn suppressions(&self) -> &[NonMaxSuppression] {
        &self.suppressions
    }

    /// Names and looks of all results: those that a run gives, then those of the last steps.
    pub fn results(&self) -> impl Iterator<Item = (&str, TensorType)> {
        let outputs = self.outputs.iter().map(|output| (&*output.name, output.tensor.clone()));
        outputs.chain(self.suppressions.iter().map(|last| (&*last.name, last.tensor())))
    }
}
