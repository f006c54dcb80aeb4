//! ONNX's `NonMaxSuppression`: of every class the boxes that no better one overlaps.
//!
//! What is kept, and in which order, is as ONNX Runtime has it
//! (`core/providers/cpu/object_detection/non_max_suppression.cc`).

use super::{
    Corners,
    suppress::{best_first, iou},
};
use crate::graph::Limits;

/// What all last steps of a run may take, which bounds the time and the memory of hostile results.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// Comparisons of boxes: half a minute.
    comparisons: u64,
    /// Boxes that are kept: a hundred megabytes.
    kept: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { comparisons: 1 << 34, kept: 1 << 22 }
    }
}

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
    /// `[images, classes, boxes]`, row by row. A score that is no number is not kept. What it takes
    /// is taken off the budget; the error says that this is too little.
    pub(crate) fn run(&self, boxes: &[f32], scores: &[f32], left: &mut Budget) -> Result<Vec<[usize; 3]>, String> {
        let Self { classes, boxes: count, limits, .. } = *self;
        let whole = Budget::default();
        let too_many = |what: String| format!("{what}: fewer boxes, or only those of a larger score, would be less");
        let mut selected = Vec::new();
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
                    left.comparisons = left
                        .comparisons
                        .checked_sub(kept.len() as u64)
                        .ok_or_else(|| too_many(format!("more than {} comparisons of boxes", whole.comparisons)))?;
                    if kept.iter().any(|&[.., other]: &[usize; 3]| iou(corners[other], corners[at]) > limits.iou) {
                        continue;
                    }
                    left.kept = left.kept.checked_sub(1).ok_or_else(|| too_many(format!("more than {} boxes are kept", whole.kept)))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers below 1 by a formula, in steps of a 64th: some are alike.
    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 58) as f32 / 64.0
        };
        (0..count).map(|_| next()).collect()
    }

    fn select(limits: Limits) -> Select {
        Select { images: 2, classes: 3, boxes: 40, is_centered: false, limits }
    }

    /// As ONNX Runtime has it, one box after the other.
    fn plain(how: &Select, boxes: &[f32], scores: &[f32]) -> Vec<[usize; 3]> {
        let interval = |of: &[f32], axis: usize| match how.is_centered {
            true => [of[axis] - of[axis + 2] / 2.0, of[axis] + of[axis + 2] / 2.0],
            false => [of[axis].min(of[axis + 2]), of[axis].max(of[axis + 2])],
        };
        let overlaps = |a: &[f32], b: &[f32]| {
            let (mut shared, mut areas) = (1.0, [1.0; 2]);
            for axis in 0..2 {
                let [a, b] = [interval(a, axis), interval(b, axis)];
                shared *= a[1].min(b[1]) - a[0].max(b[0]);
                if a[1].min(b[1]) <= a[0].max(b[0]) {
                    return false;
                }
                areas = [areas[0] * (a[1] - a[0]), areas[1] * (b[1] - b[0])];
            }
            shared / (areas[0] + areas[1] - shared) > how.limits.iou
        };
        let mut all = Vec::new();
        for (image, class) in (0..how.images).flat_map(|image| (0..how.classes).map(move |class| (image, class))) {
            let scores = &scores[(image * how.classes + class) * how.boxes..][..how.boxes];
            let of = |at: usize| &boxes[(image * how.boxes + at) * 4..][..4];
            let mut left: Vec<usize> = (0..how.boxes).filter(|&at| how.limits.score.is_none_or(|least| scores[at] > least)).collect();
            let mut kept: Vec<usize> = Vec::new();
            while !left.is_empty() && kept.len() < how.limits.most {
                let first = (1..left.len()).fold(0, |best, at| if scores[left[at]] > scores[left[best]] { at } else { best });
                let best = left.remove(first);
                if !kept.iter().any(|&other| overlaps(of(other), of(best))) {
                    kept.push(best);
                }
            }
            all.extend(kept.into_iter().map(|at| [image, class, at]));
        }
        all
    }

    #[test]
    fn as_one_after_the_other() {
        let mut kept = 0;
        for (seed, is_centered) in (0..20).flat_map(|seed| [(seed, false), (seed, true)]) {
            let (boxes, scores) = (numbers(2 * 40 * 4, seed), numbers(2 * 3 * 40, seed + 100));
            for (most, iou, score) in
                [(40, 0.5, None), (40, 0.3, Some(0.5)), (3, 0.1, Some(0.0)), (usize::MAX, 1.0, None), (5, 0.0, Some(2.0)), (0, 0.5, None)]
            {
                let how = Select { is_centered, ..select(Limits { most, iou, score }) };
                let selected = how.run(&boxes, &scores, &mut Budget::default()).unwrap();
                assert_eq!(selected, plain(&how, &boxes, &scores), "{seed} {how:?}");
                kept += selected.len();
            }
        }
        assert!(kept > 10_000, "{kept}");
    }

    #[test]
    fn what_is_no_number_is_not_kept() {
        let mut boxes = numbers(2 * 40 * 4, 3);
        let mut scores = numbers(2 * 3 * 40, 4);
        for (at, value) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY].into_iter().cycle().take(60).enumerate() {
            (boxes[at * 5], scores[at * 3]) = (value, value);
        }
        for (least, count) in [(None, 40), (Some(0.0), 7)] {
            let kept = select(Limits { most: count, iou: 0.5, score: least }).run(&boxes, &scores, &mut Budget::default()).unwrap();
            let of = |[image, class, at]: [usize; 3]| scores[(image * 3 + class) * 40 + at];
            assert!(!kept.is_empty() && kept.iter().all(|row| !of(*row).is_nan() && least.is_none_or(|least| of(*row) > least)));
        }
        // A zero of either sign: the earlier one first.
        let how = Select { images: 1, classes: 1, boxes: 3, ..select(Limits { most: 3, iou: 1.0, score: None }) };
        assert_eq!(how.run(&boxes[..12], &[-0.0, 0.0, 0.5], &mut Budget::default()).unwrap(), [[0, 0, 2], [0, 0, 0], [0, 0, 1]]);
    }

    #[test]
    fn more_than_a_run_has_time_for_is_refused() {
        let boxes = 1 << 18;
        let how = Select { images: 1, classes: 1, boxes, ..select(Limits { most: usize::MAX, iou: 1.0, score: None }) };
        // Boxes without area overlap nothing, so that each is compared with all before it.
        let refused = |mut left: Budget| how.run(&vec![0.0; boxes * 4], &vec![0.5; boxes], &mut left).unwrap_err();
        let time = refused(Budget { comparisons: 1 << 20, ..Budget::default() });
        assert!(time.starts_with("more than 17179869184 comparisons of boxes: "), "{time}");
        let room = refused(Budget { kept: 1000, ..Budget::default() });
        assert!(room.starts_with("more than 4194304 boxes are kept: "), "{room}");
        // What one step takes is not left for the next.
        let few = Select { boxes: 600, ..how };
        let mut left = Budget { kept: 1000, ..Budget::default() };
        let mut run = || few.run(&[0.0; 2400], &[0.5; 600], &mut left);
        assert!(run().is_ok_and(|kept| kept.len() == 600) && run().is_err());
    }
}
