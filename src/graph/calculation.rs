//! Calculations with two tensors, value by value.

use super::{ConstId, Constant, Shape, constants::known};
use crate::text::Sides;

/// What is made of two values a and b. The numbers are those of `shaders/elementwise.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Calculation {
    /// a + b
    Add = 1,
    /// a * b
    Multiply = 2,
    /// a - b
    Subtract = 3,
    /// b - a
    SubtractFrom = 4,
    /// a / b
    Divide = 5,
    /// b / a
    DivideInto = 6,
    /// The smaller.
    Minimum = 7,
    /// The larger.
    Maximum = 8,
    /// a to the power of b
    Power = 9,
    /// b to the power of a
    PowerOf = 10,
    /// 1 where they are equal, else 0.
    Equal = 11,
}

impl Calculation {
    /// What graphs in JSON and cases of kernels call them.
    pub(crate) const NAMES: [(&'static str, Self); 11] = [
        ("add", Self::Add),
        ("multiply", Self::Multiply),
        ("subtract", Self::Subtract),
        ("subtract_from", Self::SubtractFrom),
        ("divide", Self::Divide),
        ("divide_into", Self::DivideInto),
        ("minimum", Self::Minimum),
        ("maximum", Self::Maximum),
        ("power", Self::Power),
        ("power_of", Self::PowerOf),
        ("equal", Self::Equal),
    ];

    /// The calculation with a and b exchanged.
    pub(crate) fn exchanged(self) -> Self {
        match self {
            Self::Subtract => Self::SubtractFrom,
            Self::SubtractFrom => Self::Subtract,
            Self::Divide => Self::DivideInto,
            Self::DivideInto => Self::Divide,
            Self::Power => Self::PowerOf,
            Self::PowerOf => Self::Power,
            same => same,
        }
    }
}

/// A calculation of the first input with the second, or with a constant in its place: a map
/// `[n, c, h, w]`, or one value for each channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calculate {
    /// What is made of them.
    pub by: Calculation,
    /// `[c]`, or `[c, h, w]`, the same for all images.
    pub operand: Option<ConstId>,
}

impl From<Calculation> for Calculate {
    /// With the second input.
    fn from(by: Calculation) -> Self {
        Self { by, operand: None }
    }
}

impl Calculate {
    /// The operand is there, and has these channels.
    pub(super) fn check(self, constants: &[Constant], c: usize) -> Result<(), String> {
        let Some(id) = self.operand else { return Ok(()) };
        let operand = known(constants, id)?;
        match operand.shape[..] {
            [channels] | [channels, _, _] if channels == c => Ok(()),
            _ => Err(format!("`{}` has shape {}, needs [{c}] or [{c}, rows, columns]", operand.name, Sides(&operand.shape))),
        }
    }

    /// The maps' size fits to the operand's.
    pub(super) fn check_size(self, constants: &[Constant], input: Shape) -> Result<(), String> {
        match self.operand.map(|id| &constants[id.0]) {
            Some(Constant { name, shape, .. }) if shape.len() == 3 && shape[1..] != [input.h, input.w] => {
                Err(format!("maps of {} x {}, `{name}` is for {} x {}", input.h, input.w, shape[1], shape[2]))
            }
            _ => Ok(()),
        }
    }
}
