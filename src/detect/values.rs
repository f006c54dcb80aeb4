//! The results of a network as rows of candidates.

use crate::{
    kernels::decode::Table,
    tensor::{AnyTensor, Values},
};
use std::ops::Range;

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

/// Values of candidates, a row each, where the results have them: few rows are read of all columns.
pub(crate) struct Rows<'a> {
    /// Some of the rows, in the values of a result.
    parts: Vec<(Table, &'a [f32])>,
    width: usize,
}

impl Rows<'_> {
    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(|(table, _)| table.rows).sum()
    }

    /// How many columns a row has.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Some columns of a row; `room` takes them where they do not lie side by side.
    pub(crate) fn columns<'r>(&'r self, mut row: usize, columns: Range<usize>, room: &'r mut Vec<f32>) -> &'r [f32] {
        for (table, values) in &self.parts {
            if row < table.rows {
                let start = table.start + row % table.per * table.part + row / table.per * table.step;
                if table.column == 1 {
                    return &values[start + columns.start..start + columns.end];
                }
                room.clear();
                room.extend(columns.map(|column| values[start + column * table.column]));
                return room;
            }
            row -= table.rows;
        }
        unreachable!("the card was checked")
    }

    /// All columns of a row, as [`Rows::columns`].
    pub(crate) fn row<'r>(&'r self, row: usize, room: &'r mut Vec<f32>) -> &'r [f32] {
        self.columns(row, 0..self.width, room)
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

    /// Where the rows are in a result of this shape, which passed [`Joined::check`], and how many
    /// columns of them count.
    pub(super) fn table(&self, output: usize, shape: &[usize]) -> (Table, usize) {
        let [rows, columns] = table(shape, self.per_pixel).expect("the card was checked");
        let first = self.columns.as_ref().map_or(0, |range| range.start);
        let pixels = rows / self.per_pixel;
        let table = match shape.len() {
            4 => Table { output, rows, start: first * pixels, per: self.per_pixel, part: columns * pixels, step: 1, column: pixels },
            _ => Table { output, rows, start: first, per: 1, part: 0, step: columns, column: 1 },
        };
        (table, self.width(columns))
    }

    /// The rows themselves, of results that passed [`Joined::check`].
    pub(crate) fn rows<'a>(&self, results: &'a Results) -> Rows<'a> {
        let mut width = 0;
        let part = |name: &String| {
            let output = results.iter().position(|(known, _)| known == name).expect("the card was checked");
            let AnyTensor { shape, data: Values::F32(values) } = &results[output].1 else { unreachable!("the card was checked") };
            let table;
            (table, width) = self.table(output, shape);
            (table, &values[..])
        };
        let parts = self.outputs.iter().map(part).collect();
        Rows { parts, width }
    }
}
