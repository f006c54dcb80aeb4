//! From results to detections.

use super::{
    Activation, Corners, Detection, Detector, Form, Frame, Size, Wanted,
    priors::Prior,
    suppress::{Candidate, Kind, Suppress, best_first},
    values::{Results, Rows},
};
use crate::image_input::sample::{Fit, Window};

/// 1 / (1 + e^-v), which no value makes overflow.
fn sigmoid(v: f32) -> f32 {
    let e = (-v.abs()).exp();
    if v < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

/// Bounds by 0 and `high`; what is no number stays none.
fn bounded(corners: [f32; 4], [w, h]: [f32; 2]) -> [f32; 4] {
    let [x1, y1, x2, y2] = corners;
    [x1.clamp(0.0, w), y1.clamp(0.0, h), x2.clamp(0.0, w), y2.clamp(0.0, h)]
}

/// What a candidate may be.
#[derive(Clone)]
struct Scored {
    row: usize,
    class: usize,
    score: f32,
}

impl Detector {
    /// What the input's `window` of a picture of `picture` pixels, width and height, shows.
    pub(crate) fn frame(&self, window: &Window, [w, h]: [f32; 2]) -> Frame<'static> {
        let bounds = match self.input.fit {
            Fit::Sides(_) => [w / window.scale[0], h / window.scale[1]],
            _ => [window.size[1] as f32, window.size[0] as f32],
        };
        Frame { size: window.size, bounds, regions: None }
    }

    /// The detections in a picture of `picture` pixels, width and height, of which the input showed
    /// `window`. `label` names a class. A second stage's are against its regions.
    pub(crate) fn detections(
        &self,
        results: &Results,
        regions: Option<&[Corners]>,
        window: &Window,
        picture: [f32; 2],
        wanted: &Wanted<'_>,
        label: &dyn Fn(usize) -> String,
    ) -> Vec<Detection> {
        let candidates = self.candidates(results, Frame { regions, ..self.frame(window, picture) }, wanted);
        self.kept(candidates, window, picture, wanted, label)
    }

    /// The detections among candidates.
    pub(super) fn kept(
        &self,
        candidates: Vec<Candidate>,
        window: &Window,
        picture: [f32; 2],
        wanted: &Wanted<'_>,
        label: &dyn Fn(usize) -> String,
    ) -> Vec<Detection> {
        let suppress = Suppress { iou: wanted.iou, ..self.suppress };
        let detection = |Candidate { class, score, corners, points, .. }: Candidate| {
            let [x1, y1, x2, y2] = corners;
            let ([x1, y1], [x2, y2]) = (window.of_picture([x1, y1]), window.of_picture([x2, y2]));
            let points: Vec<[f32; 2]> = points.into_iter().map(|point| window.of_picture(point)).collect();
            // In the picture they may be beyond all numbers.
            points.as_flattened().iter().all(|v| v.is_finite()).then(|| Detection {
                label: label(class),
                index: class,
                score,
                corners: bounded([x1, y1, x2, y2], picture),
                points,
            })
        };
        suppress.run(candidates, wanted.limit).into_iter().filter_map(detection).collect()
    }

    /// What is above the threshold, with its box, in pixels of the input.
    pub(crate) fn candidates(&self, results: &Results, frame: Frame<'_>, wanted: &Wanted<'_>) -> Vec<Candidate> {
        let Frame { size: [h, w], bounds, regions } = frame;
        let sides = [w as f32, h as f32];
        let prior_of = |row: usize| match (regions, &self.priors) {
            (Some(regions), _) => Some(Prior::of(regions[row])),
            (None, Some(priors)) => Some(priors.at(row, [h, w])),
            (None, None) => None,
        };
        let scored = self.scored(results, [h, w], regions.map(<[Corners]>::len), wanted);
        let boxes = self.boxes.values.rows(results);
        let points = self.points.as_ref().map(|points| (points, points.values.rows(results)));
        let (mut candidates, mut room) = (Vec::new(), Vec::new());
        for Scored { row, class, score } in scored {
            let prior = prior_of(row);
            let of_class = (class + usize::from(self.score.skip_first)) * 4;
            let columns = if self.boxes.per_class { of_class..of_class + 4 } else { 0..boxes.width() };
            let corners = corners(&self.boxes.form, boxes.columns(row, columns, &mut room), prior, sides);
            let mut place = |(points, rows): &(&super::Points, Rows<'_>)| -> Vec<[f32; 2]> {
                let Prior { center, size, .. } = prior.expect("points have priors");
                let at = |v: &[f32; 2]| [0, 1].map(|axis| center[axis] + v[axis] * points.scale * size[axis]);
                rows.row(row, &mut room).as_chunks::<2>().0.iter().map(at).collect()
            };
            let points = points.as_ref().map(&mut place).unwrap_or_default();
            candidates.extend(self.within(Candidate { row, class, score, corners, points }, bounds));
        }
        candidates
    }

    /// A candidate with its box within `bounds`, width and height.
    pub(super) fn within(&self, mut candidate: Candidate, bounds: [f32; 2]) -> Option<Candidate> {
        // These are means of what may reach beyond the input, or the network's own corners.
        let is_bounded = !matches!(self.boxes.form, Form::Corners { .. }) && self.suppress.kind != Kind::Weighted;
        if is_bounded {
            candidate.corners = bounded(candidate.corners, bounds);
        }
        let [x1, y1, x2, y2] = candidate.corners;
        if x2 - x1 < self.boxes.least || y2 - y1 < self.boxes.least {
            return None;
        }
        // Of what is no number nothing can be said.
        candidate.corners.iter().chain(candidate.points.as_flattened()).all(|v| v.is_finite()).then_some(candidate)
    }

    /// Rows and classes above the threshold; of the first `rows`, if it says so.
    fn scored(&self, results: &Results, size: [usize; 2], rows: Option<usize>, wanted: &Wanted<'_>) -> Vec<Scored> {
        let classes = self.score.classes.rows(results);
        let objectness = self.score.objectness.as_ref().map(|joined| joined.rows(results));
        let skipped = usize::from(self.score.skip_first);
        let (mut scores, mut room) = (Vec::new(), Vec::new());
        let mut all = Vec::new();
        let levels = match (self.score.per_level, &self.priors) {
            (Some(_), Some(priors)) => priors.counts(size),
            _ => vec![rows.unwrap_or(classes.len())],
        };
        let mut row = 0;
        for level in levels {
            let first = all.len();
            for row in row..row + level {
                self.score.activation.of(classes.row(row, &mut room), &mut scores);
                let object = objectness.as_ref().map(|rows| rows.row(row, &mut room)[0]);
                let score = |score: f32| match object {
                    Some(object) => power(score, self.score.powers[0]) * power(object, self.score.powers[1]),
                    None => score,
                };
                let mut take = |class: usize, score: f32| {
                    if wanted.takes(class, score) {
                        all.push(Scored { row, class, score });
                    }
                };
                let of_classes = &scores[skipped..];
                if self.score.each {
                    of_classes.iter().enumerate().for_each(|(class, &s)| take(class, score(s)));
                } else {
                    let best = of_classes
                        .iter()
                        .enumerate()
                        .fold((0, f32::NEG_INFINITY), |best, (class, &s)| if s > best.1 { (class, s) } else { best });
                    take(best.0, score(best.1));
                }
            }
            row += level;
            if let Some(most) = self.score.per_level
                && all.len() - first > most
            {
                let of_level = all.split_off(first);
                all.extend(best_first(of_level, |scored: &Scored| scored.score, most));
            }
        }
        all
    }
}

// Pages have no detector of two stages.
#[cfg(not(target_arch = "wasm32"))]
impl super::Proposals {
    /// The regions that the first stage's results propose, best first, in pixels of the input.
    pub(crate) fn regions(&self, results: &Results, frame: Frame<'_>) -> Vec<Corners> {
        let Self { finder, .. } = self;
        let wanted = Wanted { threshold: f32::NEG_INFINITY, iou: finder.suppress.iou, limit: finder.limit, only: &[] };
        let mut candidates = finder.candidates(results, frame, &wanted);
        // Only those of one level are compared: levels stand for classes.
        let ends: Vec<usize> = finder
            .priors
            .iter()
            .flat_map(|priors| priors.counts(frame.size))
            .scan(0, |end, count| {
                *end += count;
                Some(*end)
            })
            .collect();
        for candidate in &mut candidates {
            candidate.class = ends.partition_point(|end| *end <= candidate.row);
        }
        finder.suppress.run(candidates, finder.limit).into_iter().map(|candidate| candidate.corners).collect()
    }
}

impl Activation {
    /// A row's scores, into `scores`.
    fn of(self, row: &[f32], scores: &mut Vec<f32>) {
        scores.clear();
        match self {
            Self::None => scores.extend_from_slice(row),
            Self::Sigmoid(clip) => scores.extend(row.iter().map(|v| sigmoid(v.clamp(-clip, clip)))),
            Self::Softmax => {
                let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                scores.extend(row.iter().map(|v| (v - most).exp()));
                let sum: f32 = scores.iter().sum();
                scores.iter_mut().for_each(|score| *score /= sum);
            }
        }
    }
}

/// A score to a power; of one below 0, which is no score, 0 to that power.
fn power(value: f32, by: f32) -> f32 {
    if by == 1.0 { value } else { value.max(0.0).powf(by) }
}

/// The box that a row says, against its prior, on an input of `sides`, width and height.
fn corners(form: &Form, row: &[f32], prior: Option<Prior>, sides: [f32; 2]) -> [f32; 4] {
    let prior = || prior.expect("this form has priors");
    match *form {
        Form::Corners { of_input } => {
            let [w, h] = if of_input { sides } else { [1.0; 2] };
            [row[0] * w, row[1] * h, row[2] * w, row[3] * h]
        }
        Form::Distances { bins } => {
            let Prior { center: [x, y], stride, .. } = prior();
            let [left, top, right, bottom] = [0, 1, 2, 3].map(|side| expected(&row[side * bins..][..bins]) * stride);
            [x - left, y - top, x + right, y + bottom]
        }
        Form::Center { tanh, size, of_input, scale, max } => {
            let prior = prior();
            let span = |axis: usize| {
                let v = if tanh { row[axis].tanh() } else { row[axis] };
                let middle = prior.center[axis] + v * scale[0] * prior.size[axis];
                let v = (row[axis + 2] * scale[1]).min(max);
                let share = match size {
                    Size::Exp => v.exp(),
                    Size::Linear => v,
                    Size::Sigmoid => sigmoid(v),
                };
                let half = share * if of_input { sides[axis] } else { prior.size[axis] } / 2.0;
                [middle - half, middle + half]
            };
            let ([x1, x2], [y1, y2]) = (span(0), span(1));
            [x1, y1, x2, y2]
        }
    }
}

/// The mean of 0, 1, … with the softmax of these values; of one value itself.
fn expected(values: &[f32]) -> f32 {
    if let [value] = values {
        return *value;
    }
    let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut sum, mut weighted) = (0.0, 0.0);
    for (number, v) in values.iter().enumerate() {
        let e = (v - most).exp();
        sum += e;
        weighted += e * number as f32;
    }
    weighted / sum
}
