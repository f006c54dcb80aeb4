//! What a device is told of a detector's card, and what its records say: what `decode.rs` does, in
//! two parts.

use super::{
    Activation, Corners, Detection, Detector, Form, Frame, Size, Wanted,
    priors::Prior,
    suppress::{Candidate, best_first, by_number},
    values::Joined,
};
use crate::{
    image_input::sample::Window,
    kernels::decode::{self, Problem, Table},
    plan::Placed,
};

impl Joined {
    /// Where the rows are in results that passed [`Joined::check`], and how many columns of them
    /// count.
    fn tables(&self, results: &[Placed]) -> (Vec<Table>, usize) {
        let mut width = 0;
        let of = |name: &String| {
            let output = results.iter().position(|result| result.name == *name).expect("the card was checked");
            let table;
            (table, width) = self.table(output, &results[output].shape);
            table
        };
        (self.outputs.iter().map(of).collect(), width)
    }
}

impl Detector {
    /// What the device does behind a network with an input of `[h, w]`, whose `results` passed
    /// [`Detector::check`].
    pub(crate) fn problem(&self, results: &[Placed], [h, w]: [usize; 2]) -> Problem {
        let sides = [w as f32, h as f32];
        let (classes, columns) = self.score.classes.tables(results);
        let points = self.points.as_ref().map(|points| points.values.tables(results));
        let (points, values) = points.unwrap_or_default();
        let prior = |Prior { center: [x, y], size: [w, h], stride }| [x, y, w, h, stride];
        Problem {
            classes,
            columns,
            skipped: usize::from(self.score.skip_first),
            activation: match self.score.activation {
                Activation::None => decode::Activation::None,
                Activation::Sigmoid(clip) => decode::Activation::Sigmoid(clip),
                Activation::Softmax => decode::Activation::Softmax,
            },
            each: self.score.each,
            objectness: self.score.objectness.as_ref().map(|joined| joined.tables(results).0).unwrap_or_default(),
            powers: self.score.powers,
            boxes: self.boxes.values.tables(results).0,
            form: match self.boxes.form {
                Form::Distances { bins } => decode::Form::Distances { bins },
                Form::Center { tanh, size, of_input, scale, max } => {
                    let size = match size {
                        Size::Exp => decode::Size::Exp,
                        Size::Linear => decode::Size::Linear,
                        Size::Sigmoid => decode::Size::Sigmoid,
                    };
                    decode::Form::Center { tanh, size, of_input, scale, most: max }
                }
                Form::Corners { of_input } => decode::Form::Corners(if of_input { sides } else { [1.0; 2] }),
            },
            points,
            values,
            point_scale: self.points.as_ref().map_or(1.0, |points| points.scale),
            sides,
            priors: self.priors.iter().flat_map(|priors| priors.all([h, w])).map(prior).collect(),
        }
    }

    /// As [`Detector::detections`], of the words of a device's records, in any order.
    pub(crate) fn detections_of_records(
        &self,
        records: &[u32],
        window: &Window,
        picture: [f32; 2],
        wanted: &Wanted<'_>,
        label: &dyn Fn(usize) -> String,
    ) -> Vec<Detection> {
        self.kept(self.candidates_of_records(records, self.frame(window, picture), wanted), window, picture, wanted, label)
    }

    /// As [`Detector::candidates`], of records.
    pub(super) fn candidates_of_records(&self, records: &[u32], frame: Frame<'_>, wanted: &Wanted<'_>) -> Vec<Candidate> {
        let values = self.points.as_ref().map_or(0, |points| 2 * points.count);
        let candidate = |words: &[u32]| Candidate {
            row: words[0] as usize,
            class: words[1] as usize,
            score: f32::from_bits(words[2]),
            corners: Corners::from([words[3], words[4], words[5], words[6]].map(f32::from_bits)),
            points: words[7..].as_chunks::<2>().0.iter().map(|point| point.map(f32::from_bits)).collect(),
        };
        // Devices find them in an order of their own in each run.
        let mut sorted: Vec<&[u32]> = records.chunks_exact(7 + values).collect();
        for word in [1, 0] {
            sorted = by_number(&sorted, |record| record[word], usize::MAX);
        }
        let mut all: Vec<Candidate> = sorted.into_iter().map(candidate).collect();
        all.retain(|candidate| wanted.takes(candidate.class, candidate.score));
        if let (Some(most), Some(priors)) = (self.score.per_level, &self.priors) {
            let mut rest = std::mem::take(&mut all);
            let mut end = 0;
            for count in priors.counts(frame.size) {
                end += count;
                let later = rest.split_off(rest.partition_point(|candidate| candidate.row < end));
                all.extend(best_first(std::mem::replace(&mut rest, later), |candidate| candidate.score, most));
            }
        }
        all.into_iter().filter_map(|candidate| self.within(candidate, frame.bounds)).collect()
    }
}
