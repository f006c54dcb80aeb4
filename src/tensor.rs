//! A shape with values.

use crate::{
    error::{Error, Result},
    text::Sides,
};
use std::{borrow::Cow, fmt, ops::Deref};

/// A row-major f32 tensor. `D` is how its values are held: [`Vec<f32>`], or `Arc<[f32]>` where
/// copies share them, as of weights.
#[derive(Clone, PartialEq)]
pub struct Tensor<D = Vec<f32>> {
    /// Extents, outermost first: `[n, c, h, w]` for maps, `[n, classes]` for logits,
    /// `[c_out, c_in / groups, kh, kw]` (OIHW) for filters.
    pub shape: Vec<usize>,
    /// Values, as many as the product of the shape.
    pub data: D,
}

impl Tensor {
    /// A tensor; an error if `data` is not as long as `shape` says.
    pub fn new(shape: &[usize], data: Vec<f32>) -> Result<Self> {
        Self::check(shape, data.len())?;
        Ok(Self { shape: shape.to_vec(), data })
    }

    /// Whether a tensor of this shape has so many values.
    pub(crate) fn check(shape: &[usize], given: usize) -> Result<()> {
        check("tensor", shape, given)
    }
}

impl<D: Deref<Target = [f32]>> Tensor<D> {
    /// Whether there are as many values as the shape says.
    pub(crate) fn is_sound(&self) -> bool {
        count(&self.shape) == Some(self.data.len())
    }
}

/// The type of the values of a tensor at an end of a graph. In between all values are f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Element {
    /// 32-bit floats.
    #[default]
    F32,
    /// 32-bit integers.
    I32,
    /// 64-bit integers.
    I64,
    /// True and false: 1 and 0 in between.
    Bool,
}

impl Element {
    /// `f32`, `i32`, `i64` or `bool`.
    pub fn name(self) -> &'static str {
        match self {
            Element::F32 => "f32",
            Element::I32 => "i32",
            Element::I64 => "i64",
            Element::Bool => "bool",
        }
    }

    /// The type of a name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Element::F32, Element::I32, Element::I64, Element::Bool].into_iter().find(|element| element.name() == name)
    }
}

/// The values of a tensor that enters or leaves a network.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 32-bit integers.
    I32(Vec<i32>),
    /// 64-bit integers.
    I64(Vec<i64>),
    /// True and false.
    Bool(Vec<bool>),
}

/// A row-major tensor of values of any type that a network takes or gives.
pub type AnyTensor = Tensor<Values>;

/// Whole numbers up to here are exact in f32.
const EXACT: i64 = 1 << 24;

impl Values {
    /// Their type.
    pub fn element(&self) -> Element {
        match self {
            Values::F32(_) => Element::F32,
            Values::I32(_) => Element::I32,
            Values::I64(_) => Element::I64,
            Values::Bool(_) => Element::Bool,
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Values::F32(values) => values.len(),
            Values::I32(values) => values.len(),
            Values::I64(values) => values.len(),
            Values::Bool(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As a network computes with them. The error names an integer that f32 does not hold exactly.
    pub(crate) fn to_f32(&self) -> Result<Cow<'_, [f32]>, String> {
        let exact = |values: &mut dyn Iterator<Item = i64>| {
            let value = |(at, value): (usize, i64)| match value.abs_diff(0) <= EXACT as u64 {
                true => Ok(value as f32),
                false => Err(format!("value {at} is {value}, whole numbers up to {EXACT} can be taken")),
            };
            values.enumerate().map(value).collect::<Result<Vec<f32>, _>>().map(Cow::Owned)
        };
        match self {
            Values::F32(values) => Ok(Cow::Borrowed(values)),
            Values::I32(values) => exact(&mut values.iter().map(|&value| value.into())),
            Values::I64(values) => exact(&mut values.iter().copied()),
            Values::Bool(values) => Ok(values.iter().map(|&value| f32::from(u8::from(value))).collect()),
        }
    }

    /// What a network has computed, as values of a type: integers are the nearest.
    pub(crate) fn from_f32(values: Vec<f32>, element: Element) -> Self {
        match element {
            Element::F32 => Values::F32(values),
            Element::I32 => Values::I32(values.into_iter().map(|value| value.round() as i32).collect()),
            Element::I64 => Values::I64(values.into_iter().map(|value| value.round() as i64).collect()),
            Element::Bool => Values::Bool(values.into_iter().map(|value| value != 0.0).collect()),
        }
    }
}

impl AnyTensor {
    /// Its values as f32: of integers the nearest, of true 1, of false 0.
    pub fn into_f32(self) -> Tensor {
        let data = match self.data {
            Values::F32(values) => values,
            Values::I32(values) => values.into_iter().map(|value| value as f32).collect(),
            Values::I64(values) => values.into_iter().map(|value| value as f32).collect(),
            Values::Bool(values) => values.into_iter().map(|value| f32::from(u8::from(value))).collect(),
        };
        Tensor { shape: self.shape, data }
    }
}

impl From<Tensor> for AnyTensor {
    fn from(tensor: Tensor) -> Self {
        Self { shape: tensor.shape, data: Values::F32(tensor.data) }
    }
}

/// Shows the shape: the values may be millions.
impl<D> fmt::Debug for Tensor<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({})", Sides(&self.shape))
    }
}

/// How many values a shape has, unless that overflows.
pub(crate) fn count(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) { Some(0) } else { shape.iter().try_fold(1usize, |count, &side| count.checked_mul(side)) }
}

/// Fails unless a shape has as many values as were given; messages call the tensor `name`.
pub(crate) fn check(name: &str, shape: &[usize], given: usize) -> Result<()> {
    let count = count(shape).unwrap_or(usize::MAX);
    if count == given {
        return Ok(());
    }
    Err(Error::shape(name, format!("shape {} has {count} values, {given} were given", Sides(shape))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_has_as_many_values_as_its_shape_says() {
        for (shape, values) in [(&[][..], 1), (&[0, usize::MAX, 2], 0), (&[2, 3], 6)] {
            assert_eq!(Tensor::new(shape, vec![0.0; values]).unwrap().shape, shape);
            let message = Tensor::new(shape, vec![0.0; values + 1]).unwrap_err().to_string();
            assert_eq!(message, format!("tensor: shape {shape:?} has {values} values, {} were given", values + 1));
        }
        assert!(Tensor::new(&[usize::MAX, 2], Vec::new()).is_err());
    }

    #[test]
    fn a_tensor_is_shown_as_its_shape() {
        assert_eq!(format!("{:?}", Tensor { shape: vec![1, 2], data: vec![0.0; 2] }), "Tensor([1, 2])");
    }
}
