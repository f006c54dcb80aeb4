//! ONNX's `NonMaxSuppression`: of every class the boxes that no better one overlaps.
//!
//! What is kept, and in which order, is as ONNX Runtime has it
//! (`core/providers/cpu/object_detection/non_max_suppression.cc`).

use super::{
    Corners,
    suppress::{best_first, iou},
};
use crate::graph::Limits;

/// Comparisons of boxes, which bound the time that hostile results take: half a minute.
const MOST_COMPARISONS: usize = 1 << 34;

/// Boxes that are kept.
const MOST_KEPT: usize = 1 << 24;

/// What boxes and scores are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Select {
    pub images: usize,
    pub classes: usize,
    /// Boxes of an image.
    pub boxes: usize,
    /// Whether a box is x and y of its centre, its width and its height, and not two opposite
    /// corners.
    pub is_centered: bool,
    pub limits: Limits,
}

impl Select {
    /// Image, class and box of each that is kept: of `boxes` `[images, boxes, 4]` and `scores`
    /// `[images, classes, boxes]`, row by row. A score that is no number is not kept. The error says
    /// that there are too many.
    pub(crate) fn run(&self, boxes: &[f32], scores: &[f32]) -> Result<Vec<[usize; 3]>, String> {
        let Self { classes, boxes: count, limits, .. } = *self;
        let (mut selected, mut left) = (Vec::new(), MOST_COMPARISONS);
        if limits.most == 0 {
            return Ok(selected);
        }
        for image in 0..self.images {
            let corners: Vec<Corners> = boxes[image * count * 4..][..count * 4].as_chunks().0.iter().map(|of| self.corners(*of)).collect();
            for class in 0..classes {
                let scores = &scores[(image * classes + class) * count..][..count];
                let is_wanted = |at: &usize| limits.score.map_or(!scores[*at].is_nan(), |least| scores[*at] > least);
                let candidates: Vec<usize> = (0..count).filter(is_wanted).collect();
                let first = selected.len();
                // A score of -0 is one of 0.
                for at in best_first(candidates, |&at| scores[at] + 0.0, count) {
                    let kept = &selected[first..];
                    if kept.len() == limits.most {
                        break;
                    }
                    let fewer = "fewer boxes, or only those of a larger score, would be less";
                    left = left
                        .checked_sub(kept.len())
                        .ok_or_else(|| format!("more than {MOST_COMPARISONS} comparisons of boxes: {fewer}"))?;
                    if kept.iter().any(|&[.., other]: &[usize; 3]| iou(corners[other], corners[at]) > limits.iou) {
                        continue;
                    }
                    if selected.len() == MOST_KEPT {
                        return Err(format!("more than {MOST_KEPT} boxes are kept: {fewer}"));
                    }
                    selected.push([image, class, at]);
                }
            }
        }
        Ok(selected)
    }

    /// The lower corner, then the upper one.
    fn corners(&self, [a, b, c, d]: [f32; 4]) -> Corners {
        match self.is_centered {
            true => [a - c / 2.0, b - d / 2.0, a + c / 2.0, b + d / 2.0],
            false => [a.min(c), b.min(d), a.max(c), b.max(d)],
        }
    }
}
