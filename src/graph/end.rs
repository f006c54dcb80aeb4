//! Where tensors enter and leave a graph: their names, and how tensors of any rank lie on
//! `[n, c, h, w]`.

use super::{NodeId, Shape};
use crate::{tensor::Element, text::Sides};
use std::fmt;

/// A side of a tensor at an end: the axes of `[n, c, h, w]` that it holds, and how long it has to
/// be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Side {
    /// The first and the last axis, by their places in `[n, c, h, w]`.
    axes: [usize; 2],
    /// As long as what is there, unless it says.
    length: Option<usize>,
}

/// What a tensor at an end of a graph looks like: the type of its values, and its sides.
///
/// A side is written as the axes that it holds: `n` the images, `c` the channels, `h` the rows, `w`
/// the columns, `hw` the pixels, and so on. A length may follow: `c=3`. Several sides of one axis
/// split it: `n, c=2, c=64, h, w` is a tensor of five sides over 128 channels. An axis without a
/// side has the length 1. Values lie in memory as those of `[n, c, h, w]` do, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorType {
    /// The type of its values.
    pub element: Element,
    sides: Vec<Side>,
}

/// The axes' letters.
const AXES: &str = "nchw";

/// The most sides that a tensor has.
const MOST_SIDES: usize = 6;

impl TensorType {
    /// f32 `[n, c, h, w]`.
    pub fn maps() -> Self {
        Self { element: Element::F32, sides: (0..4).map(|axis| Side { axes: [axis; 2], length: None }).collect() }
    }

    /// f32 `[n, c]`.
    pub fn vectors() -> Self {
        Self { element: Element::F32, sides: (0..2).map(|axis| Side { axes: [axis; 2], length: None }).collect() }
    }

    /// A tensor with such sides: see [`TensorType`]. At most six; the error says which cannot be.
    ///
    /// ```
    /// use ghostnet::graph::{Element, TensorType};
    ///
    /// let points = TensorType::new(Element::F32, ["n", "c=98", "c=2"]).unwrap();
    /// assert_eq!(points.to_string(), "f32 [n, c=98, c=2]");
    /// ```
    pub fn new<'s>(element: Element, sides: impl IntoIterator<Item = &'s str>) -> Result<Self, String> {
        let sides: Vec<Side> = sides.into_iter().map(Side::parse).collect::<Result<_, _>>()?;
        if sides.len() > MOST_SIDES {
            return Err(format!("{} sides, at most {MOST_SIDES} are possible", sides.len()));
        }
        for pair in sides.windows(2) {
            let [before, after] = [pair[0], pair[1]];
            let splits = before.axes == after.axes && before.axes[0] == before.axes[1];
            if !splits && after.axes[0] <= before.axes[1] {
                return Err(format!("side {after} cannot follow side {before}: axes stand in the order n, c, h, w"));
            }
        }
        for group in Self::groups(&sides) {
            if group.iter().filter(|side| side.length.is_none()).count() > 1 {
                return Err(format!("two sides of {} are open, at most one can be", group[0].letters()));
            }
        }
        Ok(Self { element, sides })
    }

    /// The sides as [`TensorType::new`] takes them.
    pub fn sides(&self) -> impl Iterator<Item = String> {
        self.sides.iter().map(Side::to_string)
    }

    /// Sides of one range of axes, together.
    fn groups(sides: &[Side]) -> impl Iterator<Item = &[Side]> {
        sides.chunk_by(|a, b| a.axes == b.axes)
    }

    /// The group of an axis: which sides split it.
    fn of_axis(&self, axis: usize) -> Option<&[Side]> {
        Self::groups(&self.sides).find(|group| group[0].axes == [axis; 2])
    }

    /// How long an axis has to be, if that is known: images, channels, rows, columns.
    pub(crate) fn fixed(&self, axis: usize) -> Option<usize> {
        match self.of_axis(axis) {
            Some(group) => group.iter().try_fold(1, |length: usize, side| length.checked_mul(side.length?)),
            // Beside others in one side it is as long as the graph makes it.
            None => (!self.covers(axis)).then_some(1),
        }
    }

    fn covers(&self, axis: usize) -> bool {
        self.sides.iter().any(|side| (side.axes[0]..=side.axes[1]).contains(&axis))
    }

    /// Whether the tensor has a side for the images, of any length and by itself.
    pub fn is_batched(&self) -> bool {
        self.of_axis(0).is_some_and(|group| group == [Side { axes: [0; 2], length: None }])
    }

    /// With so many images.
    pub(super) fn fix_batch(&mut self, images: usize) {
        self.sides.iter_mut().filter(|side| side.axes == [0; 2]).for_each(|side| side.length = Some(images));
    }

    /// What an input's sides have to be: of one axis each.
    pub(super) fn check_input(&self) -> Result<(), String> {
        match self.sides.iter().find(|side| side.axes[0] != side.axes[1]) {
            Some(side) => Err(format!("side {side} of an input holds several axes")),
            None => Ok(()),
        }
    }

    /// The `[n, c, h, w]` of an input's tensor of this shape; the error says what is needed.
    pub fn shape_of(&self, given: &[usize]) -> Result<Shape, String> {
        let unlike = || format!("has shape {}, {self} is needed", Sides(given));
        if given.len() != self.sides.len() {
            return Err(unlike());
        }
        let mut axes = [1usize; 4];
        for (side, &length) in self.sides.iter().zip(given) {
            if side.length.is_some_and(|wanted| wanted != length) {
                return Err(unlike());
            }
            axes[side.axes[0]] = axes[side.axes[0]].checked_mul(length).ok_or_else(unlike)?;
        }
        let [n, c, h, w] = axes;
        Ok(Shape { n, c, h, w })
    }

    /// The sides' lengths of a tensor that is `[n, c, h, w]` in the graph; the error says that it
    /// does not fit.
    pub fn lengths(&self, of: Shape) -> Result<Vec<usize>, String> {
        let axes = [of.n, of.c, of.h, of.w];
        let unlike = || format!("{of} is no tensor {self}");
        if (0..4).any(|axis| !self.covers(axis) && axes[axis] != 1) {
            return Err(unlike());
        }
        let mut lengths = Vec::with_capacity(self.sides.len());
        for group in Self::groups(&self.sides) {
            let [first, last] = group[0].axes;
            let whole: usize = axes[first..=last].iter().product();
            let known: usize = group.iter().filter_map(|side| side.length).product();
            let is_open = group.iter().any(|side| side.length.is_none());
            if known == 0 || !whole.is_multiple_of(known) || (!is_open && whole != known) {
                return Err(unlike());
            }
            lengths.extend(group.iter().map(|side| side.length.unwrap_or(whole / known)));
        }
        Ok(lengths)
    }
}

impl Default for TensorType {
    fn default() -> Self {
        Self::maps()
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [", self.element.name())?;
        for (at, side) in self.sides.iter().enumerate() {
            write!(f, "{}{side}", if at == 0 { "" } else { ", " })?;
        }
        f.write_str("]")
    }
}

impl Side {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("side `{text}` is no range of n, c, h, w, with or without a length such as c=3");
        let (letters, length) = match text.split_once('=') {
            Some((letters, length)) => (letters, Some(length.parse().ok().filter(|&l: &usize| l > 0).ok_or_else(wrong)?)),
            None => (text, None),
        };
        // The standard library's search is large in the browser package.
        let first = (0..AXES.len()).find(|&first| AXES[first..].starts_with(letters) && !letters.is_empty());
        let first = first.ok_or_else(wrong)?;
        Ok(Self { axes: [first, first + letters.len() - 1], length })
    }

    fn letters(&self) -> &'static str {
        &AXES[self.axes[0]..=self.axes[1]]
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.letters())?;
        match self.length {
            Some(length) => write!(f, "={length}"),
            None => Ok(()),
        }
    }
}

/// A tensor that enters a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// The node that stands for it.
    pub node: NodeId,
    /// What it looks like.
    pub tensor: TensorType,
}

/// A tensor that leaves a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// The node whose result it is.
    pub node: NodeId,
    /// What it looks like.
    pub tensor: TensorType,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(sides: &[&str]) -> Result<TensorType, String> {
        TensorType::new(Element::F32, sides.iter().copied())
    }

    #[test]
    fn tensors_of_any_rank_lie_on_four_axes() {
        let shape = Shape::new(2, 6, 4, 5);
        for (sides, lengths) in [
            (&["n", "c", "h", "w"][..], &[2, 6, 4, 5][..]),
            (&["nchw"], &[240]),
            (&["n", "c=3", "c", "hw"], &[2, 3, 2, 20]),
            (&["n=2", "c", "c=2", "h", "w=1", "w"], &[2, 3, 2, 4, 1, 5]),
        ] {
            let tensor = tensor(sides).unwrap();
            assert_eq!(tensor.lengths(shape).unwrap(), lengths, "{tensor}");
            assert_eq!(tensor.sides().collect::<Vec<_>>(), sides);
            if tensor.check_input().is_ok() {
                assert_eq!(tensor.shape_of(lengths), Ok(shape), "{tensor}");
            }
        }
        assert_eq!(TensorType::vectors().lengths(Shape::new(2, 7, 1, 1)).unwrap(), [2, 7]);
        assert_eq!(TensorType::vectors().shape_of(&[2, 7]), Ok(Shape::new(2, 7, 1, 1)));
        let fixed = |sides: &[&str]| [0, 1, 2, 3].map(|axis| tensor(sides).unwrap().fixed(axis));
        assert_eq!(fixed(&["n", "c=3", "hw"]), [None, Some(3), None, None]);
        assert_eq!(fixed(&["c=2", "c=3"]), [Some(1), Some(6), Some(1), Some(1)]);
        assert_eq!(tensor(&[]).unwrap().lengths(Shape::new(1, 1, 1, 1)).unwrap(), [0; 0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let shape = Shape::new(2, 6, 4, 5);
        for sides in [&["n", "c"][..], &["n", "c=4", "c", "hw"], &["n", "c=2", "c=4", "hw"], &["n=1", "chw"]] {
            let message = tensor(sides).unwrap().lengths(shape).unwrap_err();
            assert_eq!(message, format!("[2, 6, 4, 5] is no tensor f32 [{}]", sides.join(", ")));
        }
        let given = tensor(&["n", "c=3"]).unwrap();
        assert_eq!(given.shape_of(&[2, 4]).unwrap_err(), "has shape [2, 4], f32 [n, c=3] is needed");
        assert_eq!(given.shape_of(&[2]).unwrap_err(), "has shape [2], f32 [n, c=3] is needed");
        assert!(tensor(&["c", "c=2"]).unwrap().shape_of(&[usize::MAX, 2]).is_err());
    }

    #[test]
    fn impossible_sides_are_refused() {
        for sides in [&["x"][..], &[""], &["cn"], &["n=0"], &["n=-1"], &["c="], &["n", "w", "h"], &["hw", "hw"], &["hw", "w"], &["n"; 7]] {
            assert!(tensor(sides).is_err(), "{sides:?}");
        }
        assert_eq!(tensor(&["n", "c", "c"]).unwrap_err(), "two sides of c are open, at most one can be");
    }
}
