//! Values of an ONNX graph while it is imported: tensors of any rank, as views of constants or of
//! nodes of our graph. Transposes, reshapes and slices only change how a view walks over what it is
//! of, so they cost nothing until somebody needs the values in an order of their own.

use super::proto;
use crate::{
    AnyTensor, Values,
    graph::{Axis, NodeId},
    tensor::count,
    text::Sides,
};
use half::{bf16, f16};
use std::sync::Arc;

/// What a constant holds; truth values are 0 and 1.
#[derive(Clone)]
pub(super) enum Numbers {
    F32(Arc<[f32]>),
    I64(Arc<[i64]>),
}

/// More sides than any tensor has.
pub(super) const MOST_SIDES: usize = 64;

/// What a view is of.
#[derive(Clone)]
pub(super) enum Source {
    Constant(Numbers),
    /// A node, whose result is so many channels, rows and columns.
    Node(NodeId, [usize; 3]),
}

/// A tensor.
pub(super) struct Value {
    pub source: Source,
    /// A constant is walked over by its `channels` alone.
    pub axes: Vec<Axis>,
    pub start: [usize; 2],
    /// Which side counts the images; it has the length 1 here.
    pub batch: Option<usize>,
    /// Whether a node's values are whole numbers.
    pub is_whole: bool,
    /// The least value of a constant's type, where that has 8 bits.
    pub least: Option<f32>,
}

impl Clone for Value {
    /// In one place: the browser package has no room for a copy of it in each operator.
    #[inline(never)]
    fn clone(&self) -> Self {
        Self { source: self.source.clone(), axes: self.axes.clone(), ..*self }
    }
}

/// The product of lengths; the largest number where that overflows.
pub(super) fn total(lengths: impl IntoIterator<Item = usize>) -> usize {
    lengths.into_iter().fold(1, usize::saturating_mul)
}

impl Numbers {
    pub fn len(&self) -> usize {
        match self {
            Numbers::F32(values) => values.len(),
            Numbers::I64(values) => values.len(),
        }
    }

    /// What they take, in words of four bytes.
    pub fn words(&self) -> usize {
        match self {
            Numbers::F32(values) => values.len(),
            Numbers::I64(values) => 2 * values.len(),
        }
    }

    /// Whether they are the same in memory.
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Numbers::F32(one), Numbers::F32(other)) => Arc::ptr_eq(one, other),
            (Numbers::I64(one), Numbers::I64(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    pub fn float(&self, at: usize) -> f32 {
        match self {
            Numbers::F32(values) => values[at],
            Numbers::I64(values) => values[at] as f32,
        }
    }

    /// Some of the values, by their numbers.
    pub fn pick(&self, from: impl Iterator<Item = usize>) -> Self {
        match self {
            Numbers::F32(values) => Numbers::F32(from.map(|at| values[at]).collect()),
            Numbers::I64(values) => Numbers::I64(from.map(|at| values[at]).collect()),
        }
    }
}

/// Axes of a tensor that lies in memory row by row, a step of which is so many channels.
pub(super) fn contiguous(dims: &[usize]) -> Vec<Axis> {
    let mut step = 1;
    let mut axes: Vec<Axis> = dims
        .iter()
        .rev()
        .map(|&len| {
            let axis = Axis { len, channels: step, pixels: 0 };
            // Only a tensor without values is longer than any memory.
            step = step.saturating_mul(len.max(1) as isize);
            axis
        })
        .collect();
    axes.reverse();
    axes
}

/// Axes of which the inner walks on where the outer one steps are one.
pub(super) fn merged(axes: &[Axis]) -> Vec<Axis> {
    let mut made: Vec<Axis> = Vec::new();
    for &axis in axes {
        match made.last_mut() {
            Some(last) if last.channels == axis.channels * axis.len as isize && last.pixels == axis.pixels * axis.len as isize => {
                *last = Axis { len: last.len * axis.len, ..axis };
            }
            _ => made.push(axis),
        }
    }
    made
}

/// Axes over maps: some sides row by row over the channels, others over the pixels, and the rest of
/// length 1; `dims` has the lengths.
pub(super) fn over_maps(dims: &[usize], channels: &[usize], pixels: &[usize]) -> Vec<Axis> {
    let mut axes = vec![Axis { len: 1, channels: 0, pixels: 0 }; dims.len()];
    for (sides, [of_channels, of_pixels]) in [(channels, [1, 0]), (pixels, [0, 1])] {
        let mut step = 1;
        for &side in sides.iter().rev() {
            axes[side] = Axis { len: dims[side], channels: step * of_channels, pixels: step * of_pixels };
            step *= dims[side] as isize;
        }
    }
    axes
}

impl Value {
    pub fn constant(dims: &[usize], numbers: Numbers) -> Self {
        Self { source: Source::Constant(numbers), axes: contiguous(dims), start: [0, 0], batch: None, is_whole: false, least: None }
    }

    pub fn wholes(values: Vec<i64>) -> Self {
        Self::constant(&[values.len()], Numbers::I64(values.into()))
    }

    /// The constant of a tensor that was given.
    pub fn given(tensor: &AnyTensor) -> Self {
        let numbers = match &tensor.data {
            Values::F32(values) => Numbers::F32(values[..].into()),
            Values::I32(values) => Numbers::I64(values.iter().map(|&value| value.into()).collect()),
            Values::I64(values) => Numbers::I64(values[..].into()),
            Values::Bool(values) => Numbers::I64(values.iter().map(|&value| value.into()).collect()),
        };
        Self::constant(&tensor.shape, numbers)
    }

    /// The constant of a tensor in a file; `external` gives the bytes of one that lies elsewhere.
    pub fn of(tensor: &proto::Tensor<'_>, external: &dyn Fn(&proto::Tensor<'_>) -> Result<Vec<u8>, String>) -> Result<Self, String> {
        let dims: Option<Vec<usize>> = tensor.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
        let dims = dims.filter(|dims| dims.len() <= MOST_SIDES);
        let wanted = dims.as_deref().and_then(count).filter(|count| *count <= isize::MAX as usize / 8);
        let (Some(dims), Some(wanted)) = (dims, wanted) else {
            let dims = &tensor.dims[..tensor.dims.len().min(MOST_SIDES + 1)];
            return Err(format!("tensor `{}` has the impossible shape {}", tensor.name, Sides(dims)));
        };
        let held = if tensor.external.is_empty() { Vec::new() } else { external(tensor)? };
        let raw = if tensor.external.is_empty() { tensor.raw } else { &held };
        let numbers = numbers(tensor, raw, wanted)?;
        if numbers.len() != wanted {
            return Err(format!("tensor `{}` {} holds {} values", tensor.name, Sides(&dims), numbers.len()));
        }
        let least = match tensor.kind {
            2 => Some(0.0),
            3 => Some(-128.0),
            _ => None,
        };
        Ok(Self { least, ..Self::constant(&dims, numbers) })
    }

    pub fn dims(&self) -> Vec<usize> {
        self.axes.iter().map(|axis| axis.len).collect()
    }

    pub fn count(&self) -> usize {
        total(self.axes.iter().map(|axis| axis.len))
    }

    /// How many values a constant holds, however many it stands for.
    pub fn held(&self) -> usize {
        if let Source::Constant(numbers) = &self.source { numbers.len() } else { 0 }
    }

    pub fn is_constant(&self) -> bool {
        matches!(self.source, Source::Constant(_))
    }

    /// The numbers of a constant, row by row.
    pub fn numbers(&self) -> Option<Numbers> {
        let Source::Constant(numbers) = &self.source else { return None };
        if self.start == [0, 0] && self.axes == contiguous(&self.dims()) && self.count() == numbers.len() {
            return Some(numbers.clone());
        }
        let at = |index: usize| {
            let mut rest = index;
            let mut at = self.start[0] as isize;
            for axis in self.axes.iter().rev() {
                at += (rest % axis.len) as isize * axis.channels;
                rest /= axis.len;
            }
            at as usize
        };
        Some(numbers.pick((0..self.count()).map(at)))
    }

    /// The whole numbers of a constant.
    pub fn integers(&self) -> Option<Vec<i64>> {
        match self.numbers()? {
            Numbers::I64(values) => Some(values.to_vec()),
            Numbers::F32(_) => None,
        }
    }

    pub fn floats(&self) -> Option<Vec<f32>> {
        let numbers = self.numbers()?;
        Some((0..numbers.len()).map(|at| numbers.float(at)).collect())
    }

    /// Sides in another order.
    pub fn transposed(&self, order: &[usize]) -> Self {
        let axes = order.iter().map(|&from| self.axes[from]).collect();
        let batch = self.batch.and_then(|batch| order.iter().position(|&from| from == batch));
        Self { axes, batch, ..self.clone() }
    }

    /// Some of a side: from `first` on `len` times, `step` apart.
    pub fn sliced(&self, side: usize, first: usize, step: isize, len: usize) -> Self {
        let mut made = self.clone();
        let axis = &mut made.axes[side];
        made.start[0] = (made.start[0] as isize + first as isize * axis.channels) as usize;
        made.start[1] = (made.start[1] as isize + first as isize * axis.pixels) as usize;
        // One value has no next.
        let step = if len > 1 { step } else { 0 };
        *axis = Axis { len, channels: axis.channels * step, pixels: axis.pixels * step };
        made
    }

    /// Without a side, of which the value at `at` is taken.
    pub fn without(&self, side: usize, at: usize) -> Self {
        let mut made = self.sliced(side, at, 1, 1);
        made.axes.remove(side);
        made.batch = made.batch.filter(|batch| *batch != side).map(|batch| batch - usize::from(batch > side));
        made
    }

    /// With a side of length 1 in front of side `side`.
    pub fn with_side(&self, side: usize) -> Self {
        let mut made = self.clone();
        made.axes.insert(side, Axis { len: 1, channels: 0, pixels: 0 });
        made.batch = made.batch.map(|batch| batch + usize::from(batch >= side));
        made
    }

    /// Repeated along sides of length 1 and new sides in front, as numpy broadcasts.
    pub fn expanded(&self, dims: &[usize]) -> Result<Self, String> {
        if dims.len() > MOST_SIDES {
            return Err(format!("{} sides; {MOST_SIDES} are the most", dims.len()));
        }
        let mut made = self.clone();
        while made.axes.len() < dims.len() {
            made = made.with_side(0);
        }
        for (axis, &len) in made.axes.iter_mut().zip(dims) {
            match (axis.len, len) {
                (have, wanted) if have == wanted => {}
                (1, _) => *axis = Axis { len, channels: 0, pixels: 0 },
                _ => return Err(format!("shapes {} and {} do not go together", Sides(&self.dims()), Sides(dims))),
            }
        }
        Ok(made)
    }

    /// With other sides over the same values; `None` where no walk over the source does it.
    pub fn reshaped(&self, dims: &[usize]) -> Option<Self> {
        if dims.contains(&0) || self.count() == 0 {
            return None;
        }
        let old: Vec<Axis> = self.axes.iter().copied().filter(|axis| axis.len != 1).collect();
        let mut axes = Vec::with_capacity(dims.len());
        let (mut from, mut to) = (0, 0);
        while to < dims.len() {
            if dims[to] == 1 {
                axes.push(Axis { len: 1, channels: 0, pixels: 0 });
                to += 1;
                continue;
            }
            // The shortest run of sides on each hand with equally many values.
            let (first_from, first_to) = (from, to);
            let (mut have, mut want) = (old.get(from)?.len, dims[to]);
            (from, to) = (from + 1, to + 1);
            while have != want {
                if have < want {
                    have *= old.get(from)?.len;
                    from += 1;
                } else {
                    want *= *dims.get(to)?;
                    to += 1;
                }
            }
            // One walk over all of the run: each side's step is the next one's, over all of it.
            for pair in old[first_from..from].windows(2) {
                let next = pair[1].len as isize;
                if pair[0].channels != pair[1].channels * next || pair[0].pixels != pair[1].pixels * next {
                    return None;
                }
            }
            let last = old[from - 1];
            let (mut channels, mut pixels) = (last.channels, last.pixels);
            let start = axes.len();
            for &len in dims[first_to..to].iter().rev() {
                axes.insert(start, Axis { len, channels, pixels });
                channels *= len as isize;
                pixels *= len as isize;
            }
        }
        if from != old.len() {
            return None;
        }
        // The side of the images stays where the same number of values comes before it.
        let batch = self.batch.filter(|batch| *batch == 0 && dims.first() == Some(&1));
        Some(Self { axes, batch, ..self.clone() })
    }
}

fn numbers(tensor: &proto::Tensor<'_>, raw: &[u8], wanted: usize) -> Result<Numbers, String> {
    let name = tensor.name;
    let floats = |values: Arc<[f32]>| Ok(Numbers::F32(values));
    let wholes = |values: Arc<[i64]>| Ok(Numbers::I64(values));
    let is_raw = !raw.is_empty();
    match tensor.kind {
        1 if is_raw => floats(raw.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()),
        1 => floats(tensor.floats()),
        10 if is_raw => floats(raw.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect()),
        10 => floats(tensor.wholes().iter().map(|&bits| f16::from_bits(bits as u16).to_f32()).collect()),
        16 if is_raw => floats(raw.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect()),
        16 => floats(tensor.wholes().iter().map(|&bits| bf16::from_bits(bits as u16).to_f32()).collect()),
        11 => {
            let bytes = if is_raw { raw } else { tensor.doubles };
            floats(bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect())
        }
        2 | 9 if is_raw => wholes(raw.iter().map(|&byte| byte.into()).collect()),
        3 if is_raw => wholes(raw.iter().map(|&byte| (byte as i8).into()).collect()),
        4 if is_raw => wholes(raw.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes).into()).collect()),
        5 if is_raw => wholes(raw.as_chunks().0.iter().map(|bytes| i16::from_le_bytes(*bytes).into()).collect()),
        6 if is_raw => wholes(raw.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes).into()).collect()),
        7 | 13 if is_raw => wholes(raw.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()),
        12 if is_raw => wholes(raw.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes).into()).collect()),
        2..=7 | 9 | 12 | 13 => wholes(tensor.wholes()),
        _ if wanted == 0 => wholes(Arc::new([])),
        kind => Err(format!("tensor `{name}` has elements of ONNX's type {kind}, which is not read")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(dims: &[usize]) -> Value {
        let count = dims.iter().product::<usize>() as i64;
        Value::constant(dims, Numbers::I64((0..count).collect()))
    }

    #[test]
    fn views_walk_over_what_they_are_of() {
        let x = numbered(&[2, 3, 4]);
        assert_eq!(x.transposed(&[2, 0, 1]).integers().unwrap()[..7], [0, 4, 8, 12, 16, 20, 1]);
        assert_eq!(x.sliced(2, 3, -2, 2).integers().unwrap()[..4], [3, 1, 7, 5]);
        assert_eq!(x.without(1, 2).integers().unwrap(), [8, 9, 10, 11, 20, 21, 22, 23]);
        assert_eq!(numbered(&[3, 1]).expanded(&[2, 3, 2]).unwrap().integers().unwrap(), [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2]);
        assert!(x.expanded(&[2, 3, 5]).is_err());
    }

    #[test]
    fn a_reshape_is_a_view_where_it_can_be() {
        let x = numbered(&[2, 3, 4]);
        for dims in [&[24][..], &[1, 6, 4], &[2, 12, 1], &[2, 3, 2, 2], &[8, 3]] {
            let made = x.reshaped(dims).unwrap();
            assert_eq!((made.dims(), made.integers()), (dims.to_vec(), x.integers()), "{dims:?}");
        }
        let turned = x.transposed(&[0, 2, 1]);
        assert_eq!(turned.reshaped(&[2, 2, 2, 3]).unwrap().integers(), turned.integers());
        assert!(turned.reshaped(&[2, 12]).is_none());
        assert!(x.reshaped(&[5, 5]).is_none());
    }
}
