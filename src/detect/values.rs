//! The results of a network as rows of candidates.

use crate::tensor::{AnyTensor, Values};
use std::{borrow::Cow, ops::Range};

/// A network's results by name.
pub(crate) type Results = [(String, AnyTensor)];

/// Some columns of some results, one below the other.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Joined {
    pub outputs: Vec<String>,
    /// From the first to before the last; all.
    pub columns: Option<Range<usize>>,
    /// Rows that each pixel of a result `[1, c, h, w]` has, each of as many of the channels.
    pub per_pixel: usize,
}

/// Rows and columns of a result that has the shape `lengths`: `[n, c, h, w]` is so many rows a
/// pixel, anything else ends with the columns. Of one image.
pub(crate) fn table(lengths: &[usize], per_pixel: usize) -> Option<[usize; 2]> {
    match *lengths {
        [1, c, h, w] if c.is_multiple_of(per_pixel) => Some([h.checked_mul(w)?.checked_mul(per_pixel)?, c / per_pixel]),
        [rows, columns] | [1, rows, columns] => Some([rows, columns]),
        _ => None,
    }
}

/// Values of candidates, a row each.
pub(crate) struct Rows<'a> {
    values: Cow<'a, [f32]>,
    /// Of a row's columns in `values`, those that count, and how many there are.
    columns: Range<usize>,
    stride: usize,
}

impl Rows<'_> {
    pub(crate) fn len(&self) -> usize {
        self.values.len() / self.stride
    }

    pub(crate) fn row(&self, at: usize) -> &[f32] {
        &self.values[at * self.stride..][self.columns.clone()]
    }
}

impl Joined {
    /// How many columns there are, where the results have `all`.
    pub(crate) fn width(&self, all: usize) -> usize {
        self.columns.as_ref().map_or(all, Range::len)
    }

    /// Rows that the results have in all, and how many columns of them count, by what `lengths`
    /// says of a result's shape. The error names the result.
    pub(crate) fn check(&self, lengths: &dyn Fn(&str) -> Result<Vec<usize>, String>) -> Result<[usize; 2], String> {
        let (mut rows, mut columns) = (0usize, None);
        for name in &self.outputs {
            let lengths = lengths(name)?;
            let [more, has] = table(&lengths, self.per_pixel)
                .filter(|[rows, columns]| *rows > 0 && *columns > 0)
                .ok_or_else(|| format!("result `{name}` of shape {} has no rows of one image", crate::text::Sides(&lengths)))?;
            if let Some(range) = &self.columns
                && range.end > has
            {
                return Err(format!("result `{name}` has {has} channels, the card reads {} to {}", range.start, range.end));
            }
            if *columns.get_or_insert(has) != has && self.columns.is_none() {
                return Err(format!("result `{name}` has {has} channels, those before have {}", columns.unwrap_or(0)));
            }
            rows = rows.saturating_add(more);
        }
        Ok([rows, self.width(columns.unwrap_or(0))])
    }

    /// The rows themselves, of results that passed [`Joined::check`].
    pub(crate) fn rows<'a>(&self, results: &'a Results) -> Rows<'a> {
        let of = |name: &String| {
            let (_, tensor) = results.iter().find(|(known, _)| known == name).expect("the card was checked");
            let Values::F32(values) = &tensor.data else { unreachable!("the card was checked") };
            (table(&tensor.shape, self.per_pixel).expect("the card was checked"), &values[..], tensor.shape.len() == 4)
        };
        if let [name] = &self.outputs[..]
            && let ([_, stride], values, false) = of(name)
        {
            return Rows { values: Cow::Borrowed(values), columns: self.columns.clone().unwrap_or(0..stride), stride };
        }
        let (mut joined, mut width) = (Vec::new(), 1);
        for name in &self.outputs {
            let ([rows, columns], values, is_planar) = of(name);
            let wanted = self.columns.clone().unwrap_or(0..columns);
            width = wanted.len();
            let pixels = rows / self.per_pixel;
            for row in 0..rows {
                if is_planar {
                    let first = row % self.per_pixel * columns * pixels + row / self.per_pixel;
                    joined.extend(wanted.clone().map(|column| values[first + column * pixels]));
                } else {
                    joined.extend_from_slice(&values[row * columns..][wanted.clone()]);
                }
            }
        }
        Rows { values: Cow::Owned(joined), columns: 0..width, stride: width }
    }
}
