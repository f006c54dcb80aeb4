//! Non-maximum suppression: of candidates that overlap, one is kept.

use super::Corners;

/// Candidates that are compared with each other, the best: what no network comes near bounds the
/// time that hostile results take.
const MOST: usize = 1 << 14;

/// How.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Suppress {
    pub kind: Kind,
    /// Two overlap if the intersection's area is a larger share of the union's.
    pub iou: f32,
    /// Only within a class.
    pub per_class: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All stay.
    None,
    /// The best one stays.
    Greedy,
    /// The best one stays, with the mean of the boxes and points, weighted by score.
    Weighted,
}

/// A candidate above the threshold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidate {
    /// Its row.
    pub row: usize,
    pub class: usize,
    pub score: f32,
    pub corners: Corners,
    pub points: Vec<[f32; 2]>,
}

/// The area that two boxes share, of the area that they cover. A box without area shares nothing.
pub(super) fn iou(a: Corners, b: Corners) -> f32 {
    let area = |c: Corners| (c[2] - c[0]) * (c[3] - c[1]);
    let side = |axis: usize| (a[axis + 2].min(b[axis + 2]) - a[axis].max(b[axis])).max(0.0);
    let shared = side(0) * side(1);
    shared / (area(a) + area(b) - shared).max(1e-12)
}

impl Suppress {
    /// At most `limit` of the candidates, best first; of equal scores the earlier row's.
    pub(crate) fn run(&self, mut candidates: Vec<Candidate>, limit: usize) -> Vec<Candidate> {
        candidates = best_first(candidates, |candidate| candidate.score, MOST);
        if self.kind == Kind::None {
            candidates.truncate(limit);
            return candidates;
        }
        let mut kept = Vec::new();
        while kept.len() < limit && !candidates.is_empty() {
            let best = candidates.remove(0);
            let goes = |other: &Candidate| (other.class == best.class || !self.per_class) && iou(best.corners, other.corners) > self.iou;
            if self.kind == Kind::Weighted {
                let group: Vec<Candidate> = candidates.extract_if(.., |other| goes(other)).collect();
                kept.push(mean(best, &group));
            } else {
                candidates.retain(|other| !goes(other));
                kept.push(best);
            }
        }
        kept
    }
}

/// The best `most`, best first; of equal scores in their order.
pub(super) fn best_first<T: Clone>(items: Vec<T>, score: impl Fn(&T) -> f32, most: usize) -> Vec<T> {
    let number = |item: &T| {
        let bits = score(item).to_bits();
        // Larger as the number is.
        let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
        !ordered
    };
    by_number(&items, number, most)
}

/// The first `most` by a number, of equal ones in their order. What is sorted are numbers, for
/// sorting anything else is large in the browser package.
pub(super) fn by_number<T: Clone>(items: &[T], number: impl Fn(&T) -> u32, most: usize) -> Vec<T> {
    let mut keys: Vec<u64> = items.iter().enumerate().map(|(at, item)| u64::from(number(item)) << 32 | at as u64).collect();
    keys.sort_unstable();
    keys.iter().take(most).map(|key| items[*key as u32 as usize].clone()).collect()
}

/// The best candidate with the mean of its and its group's boxes and points, by score.
fn mean(best: Candidate, group: &[Candidate]) -> Candidate {
    let all = || std::iter::once(&best).chain(group);
    let sum: f32 = all().map(|c| c.score).sum();
    // A score of 0 weighs nothing, and neither does a group of them.
    if sum <= 0.0 {
        return best;
    }
    let mut corners = [0.0; 4];
    let mut points = vec![[0.0; 2]; best.points.len()];
    for candidate in all() {
        let weight = candidate.score / sum;
        for (to, from) in corners.iter_mut().zip(candidate.corners) {
            *to += from * weight;
        }
        for (to, from) in points.iter_mut().zip(&candidate.points) {
            *to = [to[0] + from[0] * weight, to[1] + from[1] * weight];
        }
    }
    Candidate { corners, points, ..best }
}
