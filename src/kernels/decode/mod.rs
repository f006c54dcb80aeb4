//! A detector's candidates above a threshold: `shaders/decode.wgsl`. It stands behind a plan, and
//! reads its results where they are. On the CPU `detect` does it.

use super::in_no_plan;
use crate::plan::{Dispatch, Placed};
use std::ops::Range;

params! {
    rows, workgroups, first, capacity, record, columns, skipped, bins, values, clip, class_power, object_power, side_x, side_y,
    center_scale, size_scale, most, point_scale, tables,
}

kernel!("decode", writes ["records"], twin in_no_plan, vector in_no_plan);

/// What a score is made of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// The value itself.
    None,
    /// Its sigmoid, once it is bounded by this to both sides.
    Sigmoid(f32),
    /// The softmax of a row.
    Softmax,
}

/// How a box follows from its values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form {
    /// By the distances of its four sides, each of which has so many values.
    Distances {
        /// Values of a side.
        bins: usize,
    },
    /// By its middle and its size.
    Center {
        /// The middle's values are bounded by it.
        tanh: bool,
        /// What the size's values become.
        size: Size,
        /// The size is a share of the input, not of the prior.
        of_input: bool,
        /// Of the middle's and the size's values.
        scale: [f32; 2],
        /// No scaled value of a size counts for more.
        most: f32,
    },
    /// By its corners, in shares of these: width and height.
    Corners([f32; 2]),
}

/// What a size's value becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// e^v.
    Exp,
    /// v.
    Linear,
    /// 1 / (1 + e^-v).
    Sigmoid,
}

/// Rows of values in one result. Value `j` of row `r` is number `start + (r % per) * part + (r /
/// per) * step + j * column` of the result in memory, row-major.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // described above
pub struct Table {
    /// The result, by its place among the network's.
    pub output: usize,
    /// How many rows.
    pub rows: usize,
    pub start: usize,
    pub per: usize,
    pub part: usize,
    pub step: usize,
    pub column: usize,
}

/// A detector's card, for an input of one size. Of each of the lists of tables one continues the
/// other: the rows are the candidates.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// A value for each class.
    pub classes: Vec<Table>,
    /// How many values those are.
    pub columns: usize,
    /// So many of them, the first, are no classes.
    pub skipped: usize,
    /// What scores are made of them.
    pub activation: Activation,
    /// Every class of a candidate counts, not the best alone.
    pub each: bool,
    /// One value, by which scores are multiplied, or none.
    pub objectness: Vec<Table>,
    /// Exponents of the class's score and of the objectness.
    pub powers: [f32; 2],
    /// The values of a box.
    pub boxes: Vec<Table>,
    /// How a box follows from them.
    pub form: Form,
    /// Two values for each point, or none.
    pub points: Vec<Table>,
    /// How many values those are.
    pub values: usize,
    /// Of points' values.
    pub point_scale: f32,
    /// Width and height of the input.
    pub sides: [f32; 2],
    /// For each candidate its prior's centre, width, height and stride; none where nothing is
    /// against a prior.
    pub priors: Vec<[f32; 5]>,
}

/// One dispatch, and the results that it binds by the shader's names.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The dispatch.
    pub dispatch: Dispatch,
    /// The result of each variable, by its place among the network's.
    pub bound: Vec<(&'static str, usize)>,
}

/// The most bytes that records take. What is found beyond them is found by the CPU.
const MOST_BYTES: usize = 16 << 20;

/// Bytes of the records' head: how many were found and the threshold, which is an f32.
pub const HEAD: usize = 16;

/// The head as a run begins with it.
pub fn head(threshold: f32) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[4..8].copy_from_slice(&threshold.to_le_bytes());
    head
}

const INVOCATIONS: u32 = 64;

impl Problem {
    /// Words of a record.
    pub fn record(&self) -> usize {
        7 + self.values
    }

    /// How many records there is room for.
    pub fn capacity(&self) -> usize {
        let rows: usize = self.classes.iter().map(|table| table.rows).sum();
        let all = if self.each { rows.saturating_mul(self.columns - self.skipped) } else { rows };
        all.min(MOST_BYTES / (4 * self.record()))
    }

    /// The results that are read, each once.
    fn outputs(&self) -> Vec<usize> {
        let mut outputs: Vec<usize> = Vec::new();
        for table in [&self.classes, &self.objectness, &self.boxes, &self.points].into_iter().flatten() {
            if !outputs.contains(&table.output) {
                outputs.push(table.output);
            }
        }
        outputs
    }

    /// A dispatch for all candidates that have each kind of values in one result, and the shader's
    /// `table` for all of them. `results` are the network's, of halves with `f16`.
    pub fn launches(&self, results: &[Placed], f16: bool) -> (Vec<Launch>, Vec<u32>) {
        let lists = [&self.classes, &self.objectness, &self.boxes, &self.points];
        let mut cuts: Vec<usize> = lists.iter().flat_map(|tables| with_ends(tables).map(|(_, end)| end)).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut words: Vec<u32> = Vec::new();
        let mut channels = vec![0; results.len()];
        for output in self.outputs() {
            channels[output] = words.len() as u32;
            words.extend(&results[output].starts);
        }
        let (mut first, mut launches) = (0, Vec::new());
        for end in cuts {
            let tables = lists.map(|tables| with_ends(tables).find(|(_, last)| *last > first));
            let at = words.len() as u32;
            words.extend(tables.iter().flat_map(|found| {
                let Some((Table { output, rows, start, per, part, step, column }, last)) = *found else { return [0; 8] };
                let pixels = results[output].pixels();
                let [first, start, per, part, step, column, pixels] =
                    [first + rows - last, start, per, part, step, column, pixels].map(|v| v as u32);
                [first, per, start, part, step, column, pixels, channels[output]]
            }));
            launches.push(self.launch(f16, first..end, tables.map(|found| found.map(|(table, _)| table.output)), at));
            first = end;
        }
        (launches, words)
    }

    /// Of some candidates, whose values lie in these results, as `table` says from `tables` on.
    fn launch(&self, f16: bool, candidates: Range<usize>, outputs: [Option<usize>; 4], tables: u32) -> Launch {
        let rows = candidates.len() as u32;
        let workgroups = rows.div_ceil(INVOCATIONS);
        // Shaders know no infinity.
        let bits = |v: f32| v.clamp(f32::MIN, f32::MAX).to_bits();
        let (clip, activation) = match self.activation {
            Activation::None => (0.0, 0),
            Activation::Sigmoid(clip) => (clip, 1),
            Activation::Softmax => (0.0, 2),
        };
        let (mut bins, mut sides, mut scale, mut most) = (1, self.sides, [1.0; 2], 0.0);
        let mut switches = [0; 4];
        match self.form {
            Form::Distances { bins: count } => bins = count,
            Form::Center { tanh, size, of_input, scale: own, most: own_most } => {
                (scale, most, switches) = (own, own_most, [1, tanh.into(), size as i64, of_input.into()]);
            }
            Form::Corners(own) => (sides, switches[0]) = (own, 2),
        }
        let params = Params {
            rows,
            workgroups,
            first: candidates.start as u32,
            capacity: self.capacity() as u32,
            record: self.record() as u32,
            columns: self.columns as u32,
            skipped: self.skipped as u32,
            bins: bins as u32,
            values: self.values as u32,
            clip: bits(clip),
            class_power: bits(self.powers[0]),
            object_power: bits(self.powers[1]),
            side_x: bits(sides[0]),
            side_y: bits(sides[1]),
            center_scale: bits(scale[0]),
            size_scale: bits(scale[1]),
            most: bits(most),
            point_scale: bits(self.point_scale),
            tables,
        };
        let defines = [
            ("WG", INVOCATIONS.into()),
            ("F16", f16.into()),
            ("ACTIVATION", activation),
            ("EACH", self.each.into()),
            ("OBJECTNESS", outputs[1].is_some().into()),
            ("POINTS", outputs[3].is_some().into()),
            ("PRIORS", (!self.priors.is_empty()).into()),
            ("FORM", switches[0]),
            ("TANH", switches[1]),
            ("SIZE", switches[2]),
            ("OF_INPUT", switches[3]),
        ];
        let bound = ["classes", "objectness", "boxes", "points"].into_iter().zip(outputs);
        Launch {
            dispatch: Dispatch::new(KERNEL, &defines, &params, workgroups),
            bound: bound.filter_map(|(name, output)| Some((name, output?))).collect(),
        }
    }
}

/// Tables, each with the number of rows in it and those before.
fn with_ends(tables: &[Table]) -> impl Iterator<Item = (Table, usize)> {
    tables.iter().scan(0, |end, table| {
        *end += table.rows;
        Some((*table, *end))
    })
}
