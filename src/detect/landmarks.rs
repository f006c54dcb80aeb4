//! Points of one thing, such as a face, that a detector found.

use super::values::{Joined, Results};
use crate::image_input::sample::{Sampling, Window};

/// How the part of a picture that a box names becomes points, as a card says it.
#[derive(Debug, Clone, PartialEq)]
pub struct Landmarker {
    pub(crate) input: Sampling,
    /// How many.
    pub(crate) count: usize,
    /// The detector whose boxes it is for, if the card names one.
    pub(crate) detector: Option<String>,
    pub(super) region: Region,
    pub(super) points: Joined,
}

/// A square about a box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Region {
    /// Its side, of the box's longer one.
    pub scale: f32,
    /// How far its middle is moved, x and y, in sides.
    pub shift: [f32; 2],
}

impl Landmarker {
    /// The results that are read.
    pub(crate) fn outputs(&self) -> Vec<&str> {
        self.points.outputs.iter().map(String::as_str).collect()
    }

    /// What the input shows for a box: a square.
    pub(crate) fn window(&self, [x1, y1, x2, y2]: [f32; 4], size: [usize; 2]) -> Window {
        let Region { scale, shift } = self.region;
        let side = (x2 - x1).max(y2 - y1) * scale;
        let middle = [(x1 + x2) / 2.0 + shift[0] * side, (y1 + y2) / 2.0 + shift[1] * side];
        Window { origin: middle.map(|at| at - side / 2.0), scale: [side / size[1] as f32, side / size[0] as f32], size }
    }

    /// The points that the results say, in pixels of the picture; none where one is no number.
    pub(crate) fn points(&self, results: &Results, window: &Window) -> Vec<[f32; 2]> {
        let rows = self.points.rows(results);
        let [h, w] = window.size.map(|side| side as f32);
        let (mut values, mut room) = (Vec::new(), Vec::new());
        for row in 0..rows.len() {
            values.extend_from_slice(rows.row(row, &mut room));
        }
        let pairs = values.as_chunks::<2>().0.iter().take(self.count);
        let points: Vec<[f32; 2]> = pairs.map(|[x, y]| window.of_picture([x * w, y * h])).collect();
        if points.as_flattened().iter().all(|v| v.is_finite()) { points } else { Vec::new() }
    }
}
