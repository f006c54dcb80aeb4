//! A shape with values.

use crate::{
    error::{Error, Result},
    text::Sides,
};
use std::{fmt, ops::Deref};

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
